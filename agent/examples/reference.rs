//! Writes what the program says of itself into a folder: the schema of the configuration, manual
//! pages, completions of shells. `cargo xtask generate` and `package` run it.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};
use meshtap::cli::Cli;
use meshtap::config;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err("name a folder".into());
    };
    let command = || Cli::command().name("meshtap");

    let manual = folder.join("man");
    fs::create_dir_all(&manual)?;
    clap_mangen::generate_to(command(), &manual)?;

    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let shells = folder.join("completions").join(shell.to_string());
        fs::create_dir_all(&shells)?;
        generate_to(shell, &mut command(), "meshtap", &shells)?;
    }

    let schema = serde_json::to_string_pretty(&config::schema())?;
    fs::write(folder.join("config.schema.json"), schema)?;
    Ok(())
}
