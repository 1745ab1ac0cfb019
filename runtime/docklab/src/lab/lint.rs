//! Authoring: `new`, `lint`, `fmt` and `schema`.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use docklab_scenario::Diagnostics;

use super::paint::Paint;

/// Report every fault of lab files, with its place.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab lint labs/*.md
  docklab lint my-lab.md --json
  docklab schema problem-matcher > lint.json    for continuous integration: `echo ::add-matcher::lint.json`

A lab that breaks a rule of taste on purpose says so in its front matter: allow = { unpinned = \"the reason\" }

Exit code: 0 when there is nothing to report, 1 when there is.")]
pub(crate) struct LintArguments {
    /// The labs.
    #[arg(required_unless_present = "rules")]
    files: Vec<PathBuf>,
    /// Print the faults as JSON.
    #[arg(long)]
    json: bool,
    /// List the rules of taste instead.
    #[arg(long, conflicts_with = "files")]
    rules: bool,
}

/// Write a lab that can be played and whose comments say what each part is for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab new 05-volumes --title \"Keeping data\"
  docklab lint 05-volumes.md && docklab test 05-volumes.md --engine sim")]
pub(crate) struct NewArguments {
    /// The file's name; `.md` is added.
    name: PathBuf,
    /// The lab's title; made from the name when absent.
    #[arg(long)]
    title: Option<String>,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

/// Write labs in the usual form: blank lines, fences, notes and TOML, never a word.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab fmt labs/*.md
  docklab fmt --check labs/*.md     for continuous integration: exit code 1 when one would be written otherwise
  docklab fmt - < my-lab.md         from standard input to standard output, for editors")]
pub(crate) struct FormatArguments {
    /// The labs; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change nothing; name the files that would be changed.
    #[arg(long)]
    check: bool,
}

/// Print what editors and build servers need to understand labs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab schema > check.schema.json
  docklab schema problem-matcher > lint.json")]
pub(crate) struct SchemaArguments {
    #[arg(value_enum, default_value = "check")]
    what: Schema,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Schema {
    /// The JSON schema of check blocks, for editors that complete TOML.
    Check,
    /// How to read what `docklab lint` prints, for build servers.
    ProblemMatcher,
}

pub(crate) fn lint(arguments: &LintArguments) -> Result<i32> {
    if arguments.rules {
        for (rule, sentence) in docklab_scenario::RULES {
            println!("{rule:<18} {sentence}");
        }
        return Ok(0);
    }
    let mut found = Diagnostics::default();
    for file in &arguments.files {
        let expanded = super::files::expanded(file)?;
        let mut faults = docklab_scenario::lint(&file.display().to_string(), &expanded.text);
        expanded.locate(&mut faults);
        found.0.extend(faults.0);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else if !found.is_empty() {
        let paint = Paint::of(&std::io::stdout());
        println!("{}", paint.diagnostics(&found));
        println!("\n{}", sums(&found, arguments.files.len()));
    }
    Ok(i32::from(!found.is_empty()))
}

fn sums(found: &Diagnostics, files: usize) -> String {
    let errors = found.iter().filter(|fault| fault.severity == docklab_scenario::Severity::Error).count();
    let warnings = found.iter().count() - errors;
    let counted = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    format!("{}, {} in {}", counted(errors, "error"), counted(warnings, "warning"), counted(files, "file"))
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

pub(crate) fn new(arguments: &NewArguments) -> Result<i32> {
    let mut file = arguments.name.clone();
    if file.extension().is_none_or(|extension| extension != "md") {
        file.as_mut_os_string().push(".md");
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let title = arguments.title.clone().unwrap_or_else(|| title_of(&stem));
    if file.exists() && !arguments.force {
        bail!("{} is there already; --force writes over it", file.display());
    }
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    }
    std::fs::write(&file, docklab_scenario::template(&title)).with_context(|| format!("writing {}", file.display()))?;
    let shown = file.display();
    println!("{shown} is written. It can be played as it is:");
    println!("  docklab preview {shown}              see it in a browser while you write");
    println!("  docklab lint {shown}");
    println!("  docklab test {shown} --engine sim");
    Ok(0)
}

/// `05-my-lab` is called "My lab".
fn title_of(stem: &str) -> String {
    let words = stem.trim_start_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '_' | ' '));
    let words = words.replace(['-', '_'], " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub(crate) fn format(arguments: &FormatArguments) -> Result<i32> {
    let mut is_clean = true;
    for file in &arguments.files {
        if file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
            let formatted = docklab_scenario::format(&text);
            is_clean &= formatted == text;
            if !arguments.check {
                print!("{formatted}");
            }
            continue;
        }
        let text = read(file)?;
        let formatted = docklab_scenario::format(&text);
        if formatted == text {
            continue;
        }
        is_clean = false;
        println!("{}", file.display());
        if !arguments.check {
            std::fs::write(file, formatted).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    Ok(i32::from(arguments.check && !is_clean))
}

/// Carry a lab of another platform over: text, commands and steps; checks are left to be written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  docklab import my-scenario/ -o labs/05-mine.md        a Killercoda folder, with its index.json
  docklab import swarm-intro.md -o labs/06-swarm.md     a page of Play with Docker's training

`docklab lint` then lists the checks that are still to be written.")]
pub(crate) struct ImportArguments {
    /// A folder with `index.json`, or a Markdown page.
    from: PathBuf,
    /// The lab to write; standard output when absent.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

pub(crate) fn import(arguments: &ImportArguments) -> Result<i32> {
    let from = &arguments.from;
    let imported = if from.is_dir() {
        docklab_scenario::from_killercoda(&|file| std::fs::read_to_string(from.join(file)).ok())
    } else {
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        docklab_scenario::from_training_page(&name, &read(from)?)
    };
    let imported = imported.with_context(|| format!("importing {}", from.display()))?;
    match &arguments.output {
        None => print!("{}", imported.text),
        Some(file) => {
            if file.exists() && !arguments.force {
                bail!("{} is there already; --force writes over it", file.display());
            }
            std::fs::write(file, &imported.text).with_context(|| format!("writing {}", file.display()))?;
            eprintln!("{0} is written. `docklab lint {0}` lists what is left to do.", file.display());
        }
    }
    for note in &imported.notes {
        eprintln!("note: {note}");
    }
    Ok(0)
}

pub(crate) fn schema(arguments: &SchemaArguments) -> Result<i32> {
    match arguments.what {
        Schema::Check => println!("{}", serde_json::to_string_pretty(&docklab_scenario::json_schema())?),
        Schema::ProblemMatcher => print!("{}", docklab_scenario::PROBLEM_MATCHER),
    }
    Ok(0)
}

/// Prints faults of files that are about to be used.
pub(super) fn report_faults(diagnostics: &Diagnostics) {
    if !diagnostics.is_empty() {
        eprintln!("{}", Paint::of(&std::io::stderr()).diagnostics(diagnostics));
    }
}

impl Paint {
    /// Colours for who looks at a terminal, none for who reads a file.
    pub(crate) fn of(stream: &impl std::io::IsTerminal) -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self::new(!is_set("NO_COLOR") && (stream.is_terminal() || is_set("CLICOLOR_FORCE")))
    }
}

#[cfg(test)]
mod tests {
    use super::title_of;

    #[test]
    fn a_title_is_the_name_without_number_and_hyphens() {
        assert_eq!(title_of("05-my-first_lab"), "My first lab");
        assert_eq!(title_of("öl"), "Öl");
        assert_eq!(title_of("05"), "");
    }
}
