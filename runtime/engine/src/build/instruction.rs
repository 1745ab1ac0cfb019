//! Instructions with their arguments, as written: nothing is expanded yet.

use docklab_api::{ApiError, ApiResult, models::HealthConfig};

use super::{
    flags::{Flags, flags},
    health::health,
    lines::{Heredoc, Line},
    words,
};

const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The command of RUN, CMD, ENTRYPOINT or a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) words: Vec<String>,
    /// Not written as a JSON array: one word, for the shell.
    pub(crate) shell: bool,
}

/// The arguments of COPY and ADD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CopyArguments {
    pub(crate) sources: Vec<String>,
    pub(crate) destination: String,
    pub(crate) from: Option<String>,
    pub(crate) chown: String,
    pub(crate) chmod: String,
    /// Of what ADD downloads.
    pub(crate) checksum: Option<String>,
    pub(crate) heredocs: Vec<Heredoc>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    From { image: String, name: Option<String>, platform: Option<String> },
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Maintainer(String),
    Add(CopyArguments),
    Copy(CopyArguments),
    OnBuild(String),
    Workdir(String),
    Run(CommandLine),
    Cmd(CommandLine),
    Entrypoint(CommandLine),
    Healthcheck(HealthConfig),
    Expose(Vec<String>),
    User(String),
    Volume(Vec<String>),
    StopSignal(String),
    Shell(Vec<String>),
}

impl Kind {
    /// Puts variables into the arguments that take them. RUN, CMD and ENTRYPOINT are left to the shell.
    pub(crate) fn expand(&self, escape: char, lookup: words::Lookup<'_>) -> ApiResult<Self> {
        let word = |text: &String| words::expand(text, escape, lookup);
        let pairs = |pairs: &[(String, String)]| -> ApiResult<Vec<(String, String)>> {
            pairs.iter().map(|(key, value)| Ok((word(key)?, word(value)?))).collect()
        };
        let list = |words: &[String]| -> ApiResult<Vec<String>> { words.iter().map(word).collect() };
        let copy = |arguments: &CopyArguments| -> ApiResult<CopyArguments> {
            let mut arguments = arguments.clone();
            arguments.sources = list(&arguments.sources)?;
            arguments.destination = word(&arguments.destination)?;
            arguments.chown = word(&arguments.chown)?;
            arguments.chmod = word(&arguments.chmod)?;
            for heredoc in arguments.heredocs.iter_mut().filter(|heredoc| heredoc.expand) {
                heredoc.content = words::expand_text(&heredoc.content, escape, lookup)?;
            }
            Ok(arguments)
        };
        Ok(match self {
            Self::Env(list) => Self::Env(pairs(list)?),
            Self::Label(list) => Self::Label(pairs(list)?),
            Self::Arg(list) => Self::Arg(
                list.iter()
                    .map(|(key, value)| Ok((word(key)?, value.as_ref().map(word).transpose()?)))
                    .collect::<ApiResult<_>>()?,
            ),
            Self::Copy(arguments) => Self::Copy(copy(arguments)?),
            Self::Add(arguments) => Self::Add(copy(arguments)?),
            Self::Workdir(path) => Self::Workdir(word(path)?),
            Self::User(user) => Self::User(word(user)?),
            Self::Volume(volumes) => Self::Volume(list(volumes)?),
            Self::StopSignal(signal) => Self::StopSignal(word(signal)?),
            Self::Expose(ports) => {
                let mut expanded = Vec::new();
                for port in ports {
                    expanded.extend(words::expand_all(port, escape, lookup)?);
                }
                Self::Expose(expanded)
            }
            other => other.clone(),
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instruction {
    /// As written; a step's headline.
    pub(crate) code: String,
    pub(crate) kind: Kind,
    /// An option that only BuildKit has; the step fails when it is reached.
    pub(crate) foreign_option: Option<String>,
}

/// Why a line is no instruction.
pub(crate) enum ParseError {
    /// Wrong form: Docker tells it without the line.
    Form(String),
    /// Wrong arguments: told with the line's number.
    Arguments(String),
}

impl ParseError {
    /// For text that is in no file: a trigger.
    pub(crate) fn without_line(self) -> ApiError {
        let (Self::Form(text) | Self::Arguments(text)) = self;
        ApiError::invalid(text)
    }

    pub(crate) fn at(self, line: usize) -> ApiError {
        ApiError::invalid(match self {
            Self::Form(text) => text,
            Self::Arguments(text) => format!("dockerfile parse error on line {line}: {text}"),
        })
    }
}

pub(super) type Parsed<T> = Result<T, ParseError>;

pub(super) fn wrong<T>(text: impl Into<String>) -> Parsed<T> {
    Err(ParseError::Arguments(text.into()))
}

/// A stage and its instructions; the first element is its FROM.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stage {
    pub(crate) from: Instruction,
    pub(crate) image: String,
    pub(crate) name: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) commands: Vec<Instruction>,
}

/// A whole Dockerfile: the ARGs before the first FROM, and the stages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dockerfile {
    pub(crate) escape: char,
    pub(crate) arguments: Vec<Instruction>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) warnings: Vec<String>,
}

impl Dockerfile {
    /// How many steps a build of it has.
    pub(crate) fn steps(&self) -> usize {
        self.arguments.len() + self.stages.iter().map(|stage| 1 + stage.commands.len()).sum::<usize>()
    }

    /// `name` is the file's, for errors.
    pub(crate) fn parse(name: &str, source: &str) -> ApiResult<Self> {
        let unreadable = |text: &str| ApiError::invalid(format!("failed to parse {name}: {text}"));
        let lines = super::lines::split(source).map_err(|error| unreadable(&error.message))?;
        let mut file =
            Self { escape: lines.escape, arguments: Vec::new(), stages: Vec::new(), warnings: lines.warnings };
        for line in &lines.lines {
            let instruction = parse(line, lines.escape).map_err(|error| match error {
                ParseError::Form(text) => unreadable(&text),
                error => error.at(line.number),
            })?;
            match (&instruction.kind, file.stages.last_mut()) {
                (Kind::From { image, name, platform }, _) => file.stages.push(Stage {
                    image: image.clone(),
                    name: name.clone(),
                    platform: platform.clone(),
                    from: instruction,
                    commands: Vec::new(),
                }),
                (Kind::Arg(_), None) => file.arguments.push(instruction),
                (_, None) => return Err(ApiError::invalid("no build stage in current context")),
                (_, Some(stage)) => stage.commands.push(instruction),
            }
        }
        if file.stages.is_empty() {
            return Err(ApiError::invalid("dockerfile contains no stages to build"));
        }
        Ok(file)
    }

    /// The place of the stage that `--target` names: a name or a number.
    pub(crate) fn stage(&self, target: &str) -> Option<usize> {
        let named = |stage: &Stage| stage.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(target));
        self.stages
            .iter()
            .position(named)
            .or_else(|| target.parse().ok().filter(|index: &usize| *index < self.stages.len()))
    }
}

/// The edit distance, for suggestions.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let best = (diagonal + usize::from(letter != *other)).min(row[column] + 1).min(row[column + 1] + 1);
            diagonal = std::mem::replace(&mut row[column + 1], best);
        }
    }
    row[right.len()]
}

fn unknown(keyword: &str) -> String {
    let upper = keyword.to_ascii_uppercase();
    let nearest = NAMES.iter().map(|name| (distance(&upper, name), name)).min();
    match nearest {
        Some((1..=2, name)) => format!("unknown instruction: {keyword} (did you mean {name}?)"),
        _ => format!("unknown instruction: {keyword}"),
    }
}

/// Parses one instruction.
pub(crate) fn parse(line: &Line, escape: char) -> Parsed<Instruction> {
    let text = line.text.trim();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (keyword, rest) = text.split_at(end);
    let (flags, rest) = flags(rest);
    let rest = rest.trim();
    let name = keyword.to_ascii_uppercase();
    let known: &[&str] = match name.as_str() {
        "FROM" => &["platform"],
        // `--link` is about how BuildKit keeps layers; the files are the same without it.
        "ADD" => &["chown", "chmod", "checksum", "keep-git-dir", "link"],
        "COPY" => &["chown", "chmod", "from", "link"],
        "HEALTHCHECK" => &["interval", "timeout", "start-period", "start-interval", "retries"],
        _ => &[],
    };
    if !NAMES.contains(&name.as_str()) {
        return wrong(unknown(keyword));
    }
    let foreign: &[&str] = match name.as_str() {
        "RUN" => &["mount", "network"],
        "COPY" => &["exclude"],
        "ADD" => &["exclude", "unpack"],
        _ => &[],
    };
    let foreign_option = if name == "ONBUILD" { None } else { flags.accept(known, foreign)? };
    for name in ["link", "keep-git-dir"] {
        flags.switch(name)?;
    }
    let kind = match name.as_str() {
        "FROM" => from(rest, &flags)?,
        "ARG" => Kind::Arg(arguments(rest, escape)?),
        "ENV" => Kind::Env(pairs("ENV", rest, escape)?),
        "LABEL" => Kind::Label(pairs("LABEL", rest, escape)?),
        "MAINTAINER" => Kind::Maintainer(one("MAINTAINER", rest)?),
        "ADD" => Kind::Add(copy("ADD", rest, &flags, line)?),
        "COPY" => Kind::Copy(copy("COPY", rest, &flags, line)?),
        "ONBUILD" => on_build(rest, text)?,
        "WORKDIR" => Kind::Workdir(one("WORKDIR", rest)?),
        "RUN" => Kind::Run(run(rest, line)?),
        "CMD" => Kind::Cmd(command(rest)?),
        "ENTRYPOINT" => Kind::Entrypoint(command(rest)?),
        "HEALTHCHECK" => Kind::Healthcheck(health(rest, &flags)?),
        "EXPOSE" => {
            let mut ports = list("EXPOSE", rest.split_whitespace().map(ToOwned::to_owned).collect())?;
            ports.sort();
            Kind::Expose(ports)
        }
        "USER" => Kind::User(one("USER", rest)?),
        "VOLUME" => {
            let volumes = list("VOLUME", json_or_words(rest)?)?;
            if volumes.iter().any(|volume| volume.trim().is_empty()) {
                return wrong("VOLUME specified can not be an empty string");
            }
            Kind::Volume(volumes)
        }
        "STOPSIGNAL" => Kind::StopSignal(one("STOPSIGNAL", rest)?),
        _ => match json(rest)? {
            Some(shell) if shell.is_empty() => return wrong("SHELL requires at least one argument"),
            Some(shell) => Kind::Shell(shell),
            None => return wrong("SHELL requires the arguments to be in JSON form"),
        },
    };
    Ok(Instruction { code: text.to_owned(), kind, foreign_option })
}

/// `Some` for a JSON array of strings; an array of anything else is an error, other text is no JSON.
fn json(text: &str) -> Parsed<Option<Vec<String>>> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_slice::<Vec<serde_json::Value>>(text.as_bytes()) else { return Ok(None) };
    let words: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(ToOwned::to_owned)).collect();
    match words {
        Some(words) => Ok(Some(words)),
        None => {
            Err(ParseError::Form("when using JSON array syntax, arrays must be comprised of strings only".to_owned()))
        }
    }
}

fn json_or_words(text: &str) -> Parsed<Vec<String>> {
    Ok(json(text)?.unwrap_or_else(|| text.split_whitespace().map(ToOwned::to_owned).collect()))
}

fn one(name: &str, rest: &str) -> Parsed<String> {
    if rest.is_empty() { wrong(format!("{name} requires exactly one argument")) } else { Ok(rest.to_owned()) }
}

fn list(name: &str, words: Vec<String>) -> Parsed<Vec<String>> {
    if words.is_empty() { wrong(format!("{name} requires at least one argument")) } else { Ok(words) }
}

pub(super) fn command(rest: &str) -> Parsed<CommandLine> {
    Ok(match json(rest)? {
        Some(words) => CommandLine { words, shell: false },
        None if rest.is_empty() => CommandLine { words: Vec::new(), shell: true },
        None => CommandLine { words: vec![rest.to_owned()], shell: true },
    })
}

fn run(rest: &str, line: &Line) -> Parsed<CommandLine> {
    let mut command = command(rest)?;
    if command.words.is_empty() {
        // The shell itself is to complain of having nothing to run.
        return Ok(command);
    }
    if let ([word], false) = (command.words.as_mut_slice(), line.heredocs.is_empty()) {
        // A here-document alone is the script itself; beside a command it is the command's input.
        if word.starts_with("<<") && !word.contains(char::is_whitespace) {
            let script = line.heredocs[0].content.clone();
            if script.starts_with("#!") {
                return wrong("a here-document that begins with #! requires BuildKit; COPY the script and RUN it");
            }
            *word = script;
        } else {
            for heredoc in &line.heredocs {
                word.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
            }
        }
    }
    Ok(command)
}

fn from(rest: &str, flags: &Flags) -> Parsed<Kind> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (image, name) = match words.as_slice() {
        [image] => (*image, None),
        [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            let name = name.to_ascii_lowercase();
            let good = name.starts_with(|letter: char| letter.is_ascii_lowercase())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !good {
                return wrong(format!(
                    "invalid name for build stage: \"{}\", name can't start with a number or contain symbols",
                    words[2]
                ));
            }
            (*image, Some(name))
        }
        _ => return wrong("FROM requires either one or three arguments"),
    };
    Ok(Kind::From { image: image.to_owned(), name, platform: flags.value("platform")? })
}

/// `key=value` pairs, or the old form with one key and the rest of the line as value.
fn pairs(name: &str, rest: &str, escape: char) -> Parsed<Vec<(String, String)>> {
    let words = words::split(rest, escape);
    let Some(first) = words.first() else { return wrong(format!("{name} requires at least one argument")) };
    if !first.contains('=') {
        let Some((key, value)) = rest.split_once(char::is_whitespace) else {
            return Err(ParseError::Form(format!("{name} must have two arguments")));
        };
        return Ok(vec![(key.to_owned(), value.trim_start().to_owned())]);
    }
    let mut pairs = Vec::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(ParseError::Form(format!(
                "Syntax error - can't find = in \"{word}\". Must be of the form: name=value"
            )));
        };
        if key.is_empty() {
            return wrong(format!("{name} names can not be blank"));
        }
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

fn arguments(rest: &str, escape: char) -> Parsed<Vec<(String, Option<String>)>> {
    let words = list("ARG", words::split(rest, escape))?;
    let mut arguments = Vec::new();
    for word in words {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if key.is_empty() {
            return wrong("ARG names can not be blank");
        }
        arguments.push((key, value));
    }
    Ok(arguments)
}

fn copy(name: &str, rest: &str, flags: &Flags, line: &Line) -> Parsed<CopyArguments> {
    let mut words = json_or_words(rest)?;
    let destination = match words.len() {
        // Docker says "only one" of none, too.
        0 | 1 => {
            return wrong(format!(
                "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
            ));
        }
        _ => words.pop().unwrap_or_default(),
    };
    let is_heredoc = |word: &String| {
        line.heredocs.iter().any(|doc| word.contains("<<") && word.trim_matches(['<', '-', '"', '\'']) == doc.name)
    };
    words.retain(|word| !is_heredoc(word));
    Ok(CopyArguments {
        sources: words,
        destination,
        from: flags.value("from")?,
        chown: flags.value("chown")?.unwrap_or_default(),
        chmod: flags.value("chmod")?.unwrap_or_default(),
        checksum: if name == "ADD" { flags.value("checksum")? } else { None },
        heredocs: line.heredocs.clone(),
    })
}

fn on_build(rest: &str, text: &str) -> Parsed<Kind> {
    if rest.is_empty() && !text.contains("--") {
        return wrong("ONBUILD requires at least one argument");
    }
    // The trigger is what stands behind the keyword, options included.
    // Whether it is an instruction at all shows when it is triggered.
    let expression = text.get("ONBUILD".len()..).unwrap_or_default().trim();
    let keyword = expression.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match keyword.as_str() {
        "ONBUILD" => return wrong("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        "MAINTAINER" | "FROM" => return wrong(format!("{keyword} isn't allowed as an ONBUILD trigger")),
        _ => {}
    }
    Ok(Kind::OnBuild(expression.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_refused_in_dockers_words() {
        for (source, wanted) in [
            ("FROM a\nRUNN x", "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)"),
            ("FROM a\nBOGUS x", "dockerfile parse error on line 2: unknown instruction: BOGUS"),
            ("RUN x", "no build stage in current context"),
            ("FROM a b", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
            (
                "FROM a\nCOPY f",
                "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. \
                 Destination could not be determined",
            ),
            ("FROM a\nENV x", "failed to parse Dockerfile: ENV must have two arguments"),
            (
                "FROM a\nENV x=1 y",
                "failed to parse Dockerfile: Syntax error - can't find = in \"y\". Must be of the form: name=value",
            ),
            ("FROM a\nCOPY --nope a b", "dockerfile parse error on line 2: unknown flag: --nope"),
            ("FROM a\nONBUILD FROM x", "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger"),
            (
                "FROM a AS 1x",
                "dockerfile parse error on line 1: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
            ),
            ("FROM a\nSHELL x", "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form"),
            (
                "FROM a\nHEALTHCHECK FOO",
                "dockerfile parse error on line 2: Unknown type \"FOO\" in HEALTHCHECK (try CMD)",
            ),
            (
                "FROM a\nCMD [1]",
                "failed to parse Dockerfile: when using JSON array syntax, arrays must be comprised of strings only",
            ),
            ("ARG x", "dockerfile contains no stages to build"),
        ] {
            assert_eq!(
                Dockerfile::parse("Dockerfile", source).map_err(|error| error.message),
                Err(wanted.to_owned()),
                "{source}"
            );
        }
    }

    #[test]
    fn bad_json_is_shell_form() {
        let file = Dockerfile::parse("D", "FROM a\nCMD [\"a\", b]\nCMD [\"a\"]").expect("good");
        let commands: Vec<_> = file.stages[0].commands.iter().map(|command| command.kind.clone()).collect();
        let line = |word: &str, shell| Kind::Cmd(CommandLine { words: vec![word.to_owned()], shell });
        assert_eq!(commands, [line("[\"a\", b]", true), line("a", false)]);
    }

    #[test]
    fn stages_have_names_and_arguments_may_stand_before_them() {
        let file = Dockerfile::parse("D", "ARG V=1\nFROM a:$V AS Build\nRUN x\nFROM scratch\nCOPY --from=build /a /b")
            .expect("good");
        assert_eq!(file.arguments.len(), 1);
        assert_eq!((file.stage("BUILD"), file.stage("1"), file.stage("no")), (Some(0), Some(1), None));
        let Kind::Copy(copy) = &file.stages[1].commands[0].kind else { panic!("a COPY") };
        assert_eq!(copy.from.as_deref(), Some("build"));
    }

    #[test]
    fn health_checks() {
        let file =
            Dockerfile::parse("D", "FROM a\nHEALTHCHECK --interval=1m30s --retries=2 CMD true || false").expect("good");
        let Kind::Healthcheck(health) = &file.stages[0].commands[0].kind else { panic!("a HEALTHCHECK") };
        assert_eq!((health.interval, health.retries), (Some(90_000_000_000), Some(2)));
        assert_eq!(health.test.as_deref(), Some(&["CMD-SHELL".to_owned(), "true || false".to_owned()][..]));
    }
}
