//! Members as the file has them.

use std::sync::Arc;

use super::{
    Author, Member, Role, Samples, Topology,
    file::Known,
    nearest::hint,
    roles::Roles,
    sampling::{MaxTokens, RepetitionPenalty, Sampling, Share, Temperature, TopK},
    section::{Section, number, string, strings, whole},
};

/// What a member's keys are read against.
pub(super) struct Context<'c> {
    pub(super) roles: &'c Roles,
    pub(super) known: &'c Known<'c>,
    /// Finds the topology that a member names.
    pub(super) topologies: &'c dyn Fn(&str) -> Result<Arc<Topology>, String>,
}

/// What came of one member: how many seats it stands for, right or wrong, so that a quorum can be judged beside it.
pub(super) struct Read {
    pub(super) member: Option<Member>,
    pub(super) seats: usize,
}

/// Where a member sits, which decides what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Among those who write drafts: a model or a topology, as often as it likes, perhaps with catalogues.
    Drafts,
    /// By itself: one model, which answers or judges.
    Writer,
    /// By itself: one model, which calls out of its catalogues.
    Actor,
}

/// Reads one member.
pub(super) fn read(mut section: Section<'_>, context: &Context<'_>, place: Place) -> Read {
    let many = place == Place::Drafts;
    let author = read_author(&mut section, context, many);
    if place == Place::Actor {
        return read_actor(section, author);
    }
    let role = read_role(&mut section, context.roles);
    let system = section.get("system", string);
    let sampling = read_sampling(&mut section);
    let samples = if many {
        section.get("samples", |item| whole(item).and_then(|n| Samples::try_new(n).map_err(|wrong| wrong.to_string())))
    } else {
        None
    };
    let apis = if many { read_apis(&mut section) } else { Vec::new() };
    section.finish();
    let samples = samples.unwrap_or(Samples::ONE);
    let member = author.map(|author| Member { author, role, system, sampling, samples, apis });
    Read { member, seats: samples.get() }
}

/// An actor writes a call, greedily and under its own instructions: there is nothing else to say of it.
fn read_actor(mut section: Section<'_>, author: Option<Author>) -> Read {
    let apis = read_apis(&mut section);
    if !section.has("apis") {
        section.wrong_here("\"apis\" is missing: name the catalogues that it may call out of, see `synod apis list`");
    }
    section.finish();
    let (role, system, sampling, samples) = (None, None, Sampling::default(), Samples::ONE);
    Read { member: author.map(|author| Member { author, role, system, sampling, samples, apis }), seats: 1 }
}

fn read_apis(section: &mut Section<'_>) -> Vec<String> {
    if section.has("apis") && section.has("topology") {
        section.wrong("apis", "a topology proposes no calls: give `apis` to its members");
    }
    let apis = section.get("apis", |item| match strings(item)? {
        none if none.is_empty() => Err("is empty: name catalogues, see `synod apis list`".to_owned()),
        catalogues => Ok(catalogues),
    });
    apis.unwrap_or_default()
}

fn read_author(section: &mut Section<'_>, context: &Context<'_>, may_nest: bool) -> Option<Author> {
    if !may_nest || !section.has("topology") {
        let model = section.require("model", |item| string(item).and_then(|name| model_name(name, context.known)));
        if !may_nest && section.has("topology") {
            section
                .get("topology", |_| Err::<(), _>("only a member that writes drafts may be a topology: name a model"));
        }
        return model.map(Author::Model);
    }
    if section.has("model") {
        section.wrong("model", "a member has a model or a topology, not both");
        section.get("model", string);
    }
    let named = section.get("topology", |item| match (context.topologies)(&string(item)?)? {
        // In a seat of many, or tried again, it would call as often.
        acting if acting.acts() => {
            Err(format!("\"{}\" calls an API, which a run does once: ask for it by itself", acting.name()))
        }
        inner => Ok(inner),
    });
    named.map(Author::Topology)
}

pub(super) fn model_name(name: String, known: &Known<'_>) -> Result<String, String> {
    match known.models {
        _ if name.trim().is_empty() => Err("is empty: name a model, see `synod models list`".to_owned()),
        Some(models) if !models.contains(&name.as_str()) => {
            Err(format!("unknown model \"{name}\": {}", hint(&name, models.iter().copied())))
        }
        _ => Ok(name),
    }
}

fn read_role(section: &mut Section<'_>, roles: &Roles) -> Option<Role> {
    let named = section.get("role", |item| string(item).and_then(|name| roles.find(&name)));
    let inline = section.get("instructions", string);
    if section.has("role") && section.has("instructions") {
        section.wrong("instructions", "a member has a role or instructions, not both");
    }
    named.or_else(|| inline.map(|instructions| Role { name: String::new(), instructions }))
}

fn read_sampling(section: &mut Section<'_>) -> Sampling {
    /// Reads with one function and judges with another, each with its own message.
    fn ranged<R, T, W: std::fmt::Display>(
        read: impl Fn(&toml_edit::Item) -> Result<R, String>,
        judge: impl Fn(R) -> Result<T, W>,
    ) -> impl Fn(&toml_edit::Item) -> Result<T, String> {
        move |item| judge(read(item)?).map_err(|wrong| wrong.to_string())
    }
    Sampling {
        max_tokens: section.get("max_tokens", ranged(whole, MaxTokens::try_new)),
        temperature: section.get("temperature", ranged(number, Temperature::try_new)),
        top_k: section.get("top_k", ranged(whole, TopK::try_new)),
        top_p: section.get("top_p", ranged(number, Share::try_new)),
        min_p: section.get("min_p", ranged(number, Share::try_new)),
        repetition_penalty: section.get("repetition_penalty", ranged(number, RepetitionPenalty::try_new)),
        seed: section.get("seed", whole),
        stop: section.get("stop", strings).unwrap_or_default(),
    }
}
