//! `manual`: the page synapse-gateway(8). Its commands come from the definition that parses them.

use std::fmt::Write as _;
use std::io::Write;

use structopt::StructOpt;
use structopt::clap::{App, AppSettings, ErrorKind};

use super::{Command, Exit};
use crate::config::{escape, literal};

/// The page with one line in place of the commands.
const PAGE: &str = include_str!("manual/synapse-gateway.8");
const COMMANDS: &str = ".\\\" COMMANDS\n";

/// Prints the manual page synapse-gateway(8)
#[derive(Debug, StructOpt)]
#[structopt(setting = AppSettings::Hidden)]
pub(super) struct Manual {}

impl Manual {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let Self {} = self;
        out.write_all(page()?.as_bytes())?;
        Ok(Exit::Fine)
    }
}

pub(super) fn page() -> anyhow::Result<String> {
    let mut commands = String::new();
    for (name, about) in subcommands()? {
        let help = help(&["synapse-gateway", &name, "--help"])?;
        let usage = section(&help, "USAGE").into_iter().next().unwrap_or_default();
        writeln!(commands, ".SS {}\n\\&{}.", literal(&name), escape(about.trim_end_matches('.')))?;
        writeln!(commands, ".PP\n.RS\n.B {}\n.RE", literal(usage.trim()))?;
        for heading in ["ARGS", "FLAGS", "OPTIONS"] {
            for (term, text) in entries(&help, heading).into_iter().filter(|(term, _)| is_own(term)) {
                writeln!(commands, ".TP\n.B {}\n\\&{}", literal(&term), escape(&text))?;
            }
        }
    }
    Ok(PAGE.replace(COMMANDS, &commands))
}

/// Each visible subcommand with the line that says what it does.
fn subcommands() -> anyhow::Result<Vec<(String, String)>> {
    let help = help(&["synapse-gateway", "--help"])?;
    Ok(entries(&help, "SUBCOMMANDS").into_iter().filter(|(name, _)| name != "help").collect())
}

/// The parser's own help, with each text on a line of its own below what it explains.
fn help(arguments: &[&str]) -> anyhow::Result<String> {
    let settings = [AppSettings::NextLineHelp, AppSettings::ColorNever];
    let app: App<'_, '_> = Command::clap().global_settings(&settings).set_term_width(0);
    match app.get_matches_from_safe(arguments) {
        Err(error) if error.kind == ErrorKind::HelpDisplayed => Ok(error.message),
        Err(error) => Err(error.into()),
        Ok(_) => anyhow::bail!("{arguments:?} did not ask for help"),
    }
}

/// The lines below a heading.
fn section<'h>(help: &'h str, heading: &str) -> Vec<&'h str> {
    let below = help.lines().skip_while(|line| line.trim_end_matches(':') != heading).skip(1);
    below.take_while(|line| line.starts_with(' ') || line.is_empty()).filter(|line| !line.is_empty()).collect()
}

/// What a section explains, each with its text in one line.
fn entries(help: &str, heading: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in section(help, heading) {
        match entries.last_mut() {
            Some((_, text)) if line.starts_with("            ") => {
                let space = if text.is_empty() { "" } else { " " };
                let _ = write!(text, "{space}{}", line.trim());
            }
            Some(_) | None => entries.push((line.trim().to_owned(), String::new())),
        }
    }
    entries
}

/// Whether an option belongs to the subcommand; every one has these two.
fn is_own(term: &str) -> bool {
    !term.contains("--help") && !term.contains("--version")
}
