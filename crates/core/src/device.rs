//! Which device computes.

use burn::tensor::Device;

use crate::error::{Error, Result};

/// The device that `name` stands for: `cpu`, and with the feature of the same name `cuda:0` or
/// `vulkan:0`.
///
/// # Errors
/// An unknown name, or a device whose backend is not built in.
pub fn parse(name: &str) -> Result<Device> {
    let (kind, index) = match name.split_once(':') {
        None => (name, 0),
        Some((kind, index)) => {
            let index = index.parse().map_err(|_not_a_number| unknown(name))?;
            (kind, index)
        }
    };
    match (kind, index) {
        ("cpu", 0) => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        ("cuda", index) => Ok(Device::cuda(index)),
        #[cfg(feature = "vulkan")]
        ("vulkan", index) => Ok(Device::vulkan(burn::tensor::DeviceKind::DiscreteGpu(index))),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    let mut expected = vec!["cpu"];
    if cfg!(feature = "cuda") {
        expected.push("cuda:N");
    }
    if cfg!(feature = "vulkan") {
        expected.push("vulkan:N");
    }
    Error::Device {
        found: name.to_owned(),
        expected: expected.join(", "),
        help: Some("GPUs need a build with `--features cuda` or `--features vulkan`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_are_refused() {
        assert!(parse("cpu").is_ok());
        assert!(parse("cpu:1").is_err());
        assert!(parse("tpu:0").is_err());
        assert!(parse("cpu:x").is_err());
    }
}
