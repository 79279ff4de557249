//! `synod.v1` only grows. The committed `descriptor.bin` is the protocol that clients out there were built against:
//! whatever it has must still be there, under the same number and type. Additions pass; with each release, or when a
//! break is meant, record what is there now: `SYNOD_BLESS=1 cargo test -p synod-proto --test breaking`.
// clippy.toml allows this in tests, but does not see that helpers here are part of them.
#![allow(clippy::unwrap_used)]

mod compare;

use std::{error::Error, fs, path::PathBuf};

use compare::breaks;
use prost_reflect::{
    DescriptorPool,
    prost::Message,
    prost_types::{FileDescriptorSet, field_descriptor_proto::Type},
};

const BLESS: &str = "SYNOD_BLESS=1 cargo test -p synod-proto --test breaking";

fn committed_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("descriptor.bin")
}

fn current() -> Result<FileDescriptorSet, Box<dyn Error>> {
    let mut set = FileDescriptorSet::decode(synod_proto::FILE_DESCRIPTOR_SET)?;
    for file in &mut set.file {
        file.source_code_info = None;
    }
    Ok(set)
}

#[test]
fn the_protocol_only_grows() -> Result<(), Box<dyn Error>> {
    let current = current()?;
    if std::env::var_os("SYNOD_BLESS").is_some_and(|value| value == "1") {
        fs::write(committed_path(), current.encode_to_vec())?;
        return Ok(());
    }
    let committed = fs::read(committed_path())?;
    let old = DescriptorPool::decode(committed.as_slice())?;
    let found = breaks(&old, &DescriptorPool::from_file_descriptor_set(current.clone())?);
    assert!(
        found.is_empty(),
        "synod.v1 breaks clients that exist:\n  {}\nput it back, or, if the break is meant: {BLESS}",
        found.join("\n  ")
    );
    Ok(())
}

/// Applies a change to the protocol and returns what the comparison makes of it.
#[track_caller]
fn check(change: impl FnOnce(&mut FileDescriptorSet), expected: &[&str]) {
    let old = current().unwrap();
    let mut new = old.clone();
    change(&mut new);
    let pool = |set| DescriptorPool::from_file_descriptor_set(set).unwrap();
    assert_eq!(breaks(&pool(old), &pool(new)), expected);
}

fn message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut prost_reflect::prost_types::DescriptorProto {
    set.file.iter_mut().flat_map(|file| &mut file.message_type).find(|message| message.name() == name).unwrap()
}

#[test]
fn a_removed_field_is_a_break() {
    check(
        |set| message(set, "Usage").field.retain(|field| field.name() != "completion_tokens"),
        &["field synod.v1.Usage.completion_tokens (= 2) was removed"],
    );
}

#[test]
fn a_renumbered_field_is_a_break() {
    check(
        |set| message(set, "Usage").field[0].number = Some(9),
        &["field synod.v1.Usage.prompt_tokens was renumbered from 1 to 9"],
    );
}

#[test]
fn a_retyped_field_is_a_break() {
    check(
        |set| message(set, "Usage").field[0].set_type(Type::Uint64),
        &["field synod.v1.Usage.prompt_tokens changed from optional uint32 to optional uint64"],
    );
}

#[test]
fn a_removed_method_and_a_changed_one_are_breaks() {
    check(
        |set| {
            let services = set.file.iter_mut().flat_map(|file| &mut file.service);
            for service in services.filter(|service| service.name() == "AggregatorService") {
                service.method.retain(|method| method.name() != "GetRun");
                service.method[0].server_streaming = Some(false);
            }
        },
        &[
            "method synod.v1.AggregatorService.Ask changed from (synod.v1.AskRequest) returns (stream synod.v1.AskResponse) \
             to (synod.v1.AskRequest) returns (synod.v1.AskResponse)",
            "method synod.v1.AggregatorService.GetRun was removed",
        ],
    );
}

#[test]
fn a_removed_enum_value_and_a_removed_message_are_breaks() {
    check(
        |set| {
            let enums = set.file.iter_mut().flat_map(|file| &mut file.enum_type);
            for one in enums.filter(|one| one.name() == "FinishReason") {
                one.value.retain(|value| value.name() != "FINISH_REASON_CANCELLED");
            }
            message(set, "RunFailed").field.retain(|field| field.name() != "best_draft");
            for file in &mut set.file {
                file.message_type.retain(|message| message.name() != "Draft");
            }
        },
        &[
            "field synod.v1.RunFailed.best_draft (= 4) was removed",
            "message synod.v1.Draft was removed",
            "value FINISH_REASON_CANCELLED (= 3) of enum synod.v1.FinishReason was removed",
        ],
    );
}

#[test]
fn an_added_field_is_not_a_break() {
    check(
        |set| {
            let mut added = message(set, "Usage").field[0].clone();
            added.name = Some("reasoning_tokens".into());
            added.json_name = Some("reasoningTokens".into());
            added.number = Some(4);
            message(set, "Usage").field.push(added);
        },
        &[],
    );
}
