//! Where heavy parts are kept between runs and between clones: outside `target/`, each under its
//! own version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder `name` of the cache, made when missing: `$MESHTAP_CACHE`, else
/// `$XDG_CACHE_HOME/meshtap`, else `~/.cache/meshtap`.
pub fn folder(name: &str) -> Result<PathBuf> {
    let folder = root()?.join(name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the cache folder {}", folder.display()))?;
    Ok(folder)
}

fn root() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(root) = set("MESHTAP_CACHE") {
        return Ok(root.into());
    }
    if let Some(cache) = set("XDG_CACHE_HOME") {
        return Ok(Path::new(&cache).join("meshtap"));
    }
    let home = set("HOME").context("neither MESHTAP_CACHE, XDG_CACHE_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cache/meshtap"))
}

/// Gives `path`, made by `make` when it is not there yet. `make` gets a path beside it, renamed
/// when it has succeeded, so an interrupted run leaves nothing that looks complete.
pub fn file(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    make(&partial)?;
    std::fs::rename(&partial, path)
        .with_context(|| format!("cannot rename {} into place", partial.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_make_leaves_nothing_behind_that_looks_complete() {
        let folder = std::env::temp_dir().join(format!("meshtap-cache-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("part");
        assert!(file(&path, |_| anyhow::bail!("no network")).is_err());
        assert!(!path.exists());
        file(&path, |partial| Ok(std::fs::write(partial, "whole")?)).unwrap();
        file(&path, |_| panic!("it is there already")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
