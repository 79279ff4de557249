//! The topologies that come with Synod. They are TOML files like a user's own, to be read and copied.

use std::sync::LazyLock;

use super::{
    Topologies,
    file::{Known, read_over},
};

/// The name of the topology that is meant when nobody says.
pub(super) const DEFAULT: &str = "moa";

/// One built-in topology as its author wrote it.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinFile {
    /// The topology's name.
    pub name: &'static str,
    /// The file, comments and all.
    pub toml: &'static str,
}

/// Every built-in topology's file.
pub const BUILTIN_FILES: &[BuiltinFile] = &[
    BuiltinFile { name: "moa", toml: include_str!("builtin/moa.toml") },
    BuiltinFile { name: "moa-3", toml: include_str!("builtin/moa-3.toml") },
    BuiltinFile { name: "self-moa", toml: include_str!("builtin/self-moa.toml") },
    BuiltinFile { name: "self-moa-seq", toml: include_str!("builtin/self-moa-seq.toml") },
    BuiltinFile { name: "smoa", toml: include_str!("builtin/smoa.toml") },
    BuiltinFile { name: "rmoa", toml: include_str!("builtin/rmoa.toml") },
    BuiltinFile { name: "llm-blender", toml: include_str!("builtin/llm-blender.toml") },
    BuiltinFile { name: "best-of-n", toml: include_str!("builtin/best-of-n.toml") },
    BuiltinFile { name: "self-consistency", toml: include_str!("builtin/self-consistency.toml") },
    BuiltinFile { name: "slm-mux", toml: include_str!("builtin/slm-mux.toml") },
    BuiltinFile { name: "debate", toml: include_str!("builtin/debate.toml") },
    BuiltinFile { name: "cascade", toml: include_str!("builtin/cascade.toml") },
    BuiltinFile { name: "single", toml: include_str!("builtin/single.toml") },
];

pub(super) fn all() -> Topologies {
    static ALL: LazyLock<Topologies> = LazyLock::new(|| {
        let over = |all: Topologies, file: &BuiltinFile| match read_over(all.clone(), file.toml, &Known::default()) {
            Ok(more) => more,
            // A test reads each file; this keeps the others should one be broken all the same.
            Err(mistakes) => {
                tracing::error!(name = file.name, ?mistakes, "a built-in topology is broken");
                all
            }
        };
        BUILTIN_FILES.iter().fold(Topologies::empty(), over)
    });
    ALL.clone()
}
