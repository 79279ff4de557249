//! Which instructions this machine has.

use std::sync::OnceLock;

/// A tier of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit registers with `vpdpbusd` (Ice Lake, Zen 4 and later).
    Avx512Vnni,
    /// 256-bit registers with `vpdpbusd` (Alder Lake, and Zen 5 for those who avoid 512 bits).
    AvxVnni,
    /// 256-bit registers with `vpmaddubsw` (Haswell, Zen and later).
    Avx2,
    /// 128-bit registers with `sdot` (Armv8.2's dot product: Cortex-A55 and A76, Neoverse N1, Apple M1 and later).
    Neon,
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

    /// The tier called `name`: `avx512`, `avxvnni`, `avx2`, `neon` or `portable`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Every tier, best first.
    pub const ALL: [Self; 5] = [Self::Avx512Vnni, Self::AvxVnni, Self::Avx2, Self::Neon, Self::Portable];

    /// The name that `SYNOD_ISA` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512Vnni => "avx512",
            Self::AvxVnni => "avxvnni",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
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
            Self::AvxVnni => is_x86_feature_detected!("avxvnni") && Self::Avx2.is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512Vnni | Self::AvxVnni | Self::Avx2 => false,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon => false,
            Self::Portable => true,
        }
    }

    fn best() -> Self {
        Self::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }
}
