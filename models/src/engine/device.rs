//! What a model computes on.

use burn::tensor;

/// What a model computes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The CPU, on `synod-kernels`.
    Cpu,
    /// The GPU that wgpu prefers: Vulkan, Metal or DX12. Takes feature `wgpu`.
    Wgpu,
}

/// Why there is no such device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The program was built for the CPU alone.
    #[error("this build computes on the CPU alone: build it with `cargo build --release --features wgpu` for a GPU")]
    NotBuilt,
    /// No adapter, or a driver that refuses.
    #[error(
        "no GPU can be used: wgpu needs a Vulkan, Metal or DX12 driver (without a GPU, Mesa's software Vulkan will do: \
         Debian's package mesa-vulkan-drivers)"
    )]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Device {
    /// Its name in flags and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
        }
    }

    /// The device of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cpu, Self::Wgpu].into_iter().find(|device| device.name() == name)
    }

    /// Burn's device, ready to compute.
    ///
    /// # Errors
    /// When this build or this machine has none.
    pub fn open(self) -> Result<tensor::Device, DeviceError> {
        match self {
            Self::Cpu => Ok(tensor::Device::flex()),
            Self::Wgpu => wgpu(),
        }
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<tensor::Device, DeviceError> {
    Err(DeviceError::NotBuilt)
}

/// Sets the process's GPU up, once: a second time would be refused.
#[cfg(feature = "wgpu")]
fn wgpu() -> Result<tensor::Device, DeviceError> {
    use std::sync::{Mutex, PoisonError};
    static READY: Mutex<Option<tensor::Device>> = Mutex::new(None);
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = &*ready {
        return Ok(device.clone());
    }
    let device = tensor::Device::wgpu_options().init().map_err(|error| DeviceError::Unavailable(Box::new(error)))?;
    Ok(ready.insert(device).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_devices_are_one_to_one() {
        for device in [Device::Cpu, Device::Wgpu] {
            assert_eq!(Device::from_name(device.name()), Some(device));
        }
        assert_eq!(Device::from_name("tpu"), None);
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_build_without_gpus_says_how_to_get_one() {
        let error = Device::Wgpu.open().map(drop).expect_err("not built");
        assert!(error.to_string().contains("--features wgpu"));
    }
}
