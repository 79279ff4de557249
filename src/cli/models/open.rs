//! Models and input files for the commands that run one model in this process.

use std::error::Error;
use std::fs;
use std::path::Path;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::DeserializeOwned;
use synod_models::{
    engine::{Compute, Device, Engine, EngineOptions},
    gguf::GgufFile,
    store::{Kind, ModelFiles, Store, StoreError},
    text::ChatMessage,
};

use crate::cli::Context;
use crate::exit::{ExitCode, Failure, with_causes};
use crate::progress::Progress;

/// The model file, fetched first if it is not here.
pub(crate) fn path(store: &Store, name: &str, context: &Context) -> Result<std::path::PathBuf, Failure> {
    if store.manifest(name)?.kind == Kind::Embedding {
        let message = format!("{name} embeds texts and writes none");
        return Err(Failure::new(ExitCode::Usage, message).hint("`synod models list` shows which models chat"));
    }
    let files = here(store, name, context)?;
    Ok(files.weights().to_owned())
}

/// The model's files, fetched first if they are not here.
pub(crate) fn here(store: &Store, name: &str, context: &Context) -> Result<ModelFiles, Failure> {
    match store.locate(name) {
        Err(StoreError::NotPulled { .. }) => {
            Ok(store.pull(name, &Progress::new(context.output, "pulling"), context.interrupt.token())?)
        }
        located => Ok(located?),
    }
}

/// The model's file, open.
pub(crate) fn file(store: &Store, name: &str, context: &Context) -> Result<GgufFile, Failure> {
    GgufFile::open(&path(store, name, context)?).map_err(unusable)
}

/// `--device`
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DeviceFlag {
    /// What to compute on
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = device_parser())]
    device: Device,
}

fn device_parser() -> impl TypedValueParser<Value = Device> {
    let names = [Device::Cpu, Device::Wgpu].map(Device::name);
    PossibleValuesParser::new(names).try_map(|name| Device::from_name(&name).ok_or("no such device"))
}

impl DeviceFlag {
    /// The device, which this build and this machine have.
    pub(crate) fn ready(self) -> Result<Device, Failure> {
        match self.device.open() {
            Ok(_) => Ok(self.device),
            Err(error) => Err(unusable(error).hint("or use --device cpu")),
        }
    }
}

/// The model, loaded, on `threads` threads (0 for one a core) or a GPU.
pub(crate) fn engine(
    store: &Store,
    name: &str,
    threads: usize,
    device: DeviceFlag,
    context: &Context,
) -> Result<Engine, Failure> {
    let device = device.ready()?; // a model may have to be fetched
    let path = path(store, name, context)?;
    Engine::load(&path, &Compute::new(threads), EngineOptions { device, ..EngineOptions::standard() }).map_err(unusable)
}

/// What a JSON file holds; `what` says what it should.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Failure> {
    let failed = |error: &dyn Error| {
        Failure::new(ExitCode::Usage, format!("cannot use {}: {error}", path.display()))
            .hint(format!("it must hold {what}"))
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

/// A conversation from a JSON file.
pub(crate) fn messages(path: &Path) -> Result<Vec<ChatMessage>, Failure> {
    json(path, r#"messages, such as [{"role": "user", "content": "Hello"}]"#)
}

/// The failure of an operation on a model.
pub(crate) fn unusable(error: impl Error) -> Failure {
    Failure::new(ExitCode::Failed, with_causes(&error))
}
