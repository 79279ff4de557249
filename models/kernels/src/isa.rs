//! Which instructions this machine has.

use std::sync::OnceLock;

/// A tier of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit registers with `vpdpbusd` (Ice Lake, Zen 4 and later).
    Avx512Vnni,
    /// 256-bit registers with `vpmaddubsw` (Haswell, Zen and later).
    Avx2,
    /// Plain Rust; the twin that tests hold the others against.
    Portable,
}

impl Isa {
    /// The best tier of this machine, or the one that `SYNOD_ISA` names if the machine has it.
    pub fn detect() -> Self {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| {
            let forced = std::env::var("SYNOD_ISA").ok().and_then(|name| Self::parse(&name));
            forced.filter(|isa| isa.is_available()).unwrap_or_else(Self::best)
        })
    }

    /// The tier called `name`: `avx512`, `avx2` or `portable`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Every tier, best first.
    pub const ALL: [Self; 3] = [Self::Avx512Vnni, Self::Avx2, Self::Portable];

    /// The name that `SYNOD_ISA` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512Vnni => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
                    && Self::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512Vnni | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    fn best() -> Self {
        Self::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }
}
