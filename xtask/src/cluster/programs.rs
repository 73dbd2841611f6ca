//! What the cluster is made of, built where it is not there yet.

use std::path::PathBuf;

use anyhow::{Result, bail};
use meshtap_parts::kubernetes::Component;
use meshtap_parts::{NO_TOOLCHAIN, collector, coredns, etcd, helm, load};

/// Where each program is.
#[derive(Debug)]
pub struct Programs {
    pub etcd: PathBuf,
    pub api_server: PathBuf,
    pub controller_manager: PathBuf,
    pub scheduler: PathBuf,
    pub proxy: PathBuf,
    pub kubelet: PathBuf,
    pub kubectl: PathBuf,
    pub agnhost: PathBuf,
    pub collector: PathBuf,
    pub coredns: PathBuf,
    pub helm: PathBuf,
    pub load: PathBuf,
}

impl Programs {
    /// Builds what is missing: a quarter of an hour on two cores, once.
    ///
    /// # Errors
    /// When something does not build.
    pub fn build() -> Result<Self> {
        let component = |component: Component| there(component.program());
        Ok(Self {
            etcd: there(etcd::program())?,
            api_server: component(Component::ApiServer)?,
            controller_manager: component(Component::ControllerManager)?,
            scheduler: component(Component::Scheduler)?,
            proxy: component(Component::Proxy)?,
            kubelet: component(Component::Kubelet)?,
            kubectl: component(Component::Kubectl)?,
            agnhost: component(Component::Agnhost)?,
            collector: there(collector::program())?,
            coredns: there(coredns::program())?,
            helm: there(helm::program())?,
            load: there(load::program())?,
        })
    }
}

fn there(program: Result<Option<PathBuf>>) -> Result<PathBuf> {
    match program? {
        Some(program) => Ok(program),
        None => bail!("{NO_TOOLCHAIN}"),
    }
}
