//! The classic builder: Dockerfiles, the build cache, and the steps that make images.
//!
//! [`Engine::build`] is `POST /build`. `lines`, `words` and `instruction` read a Dockerfile, `source` a build context or a
//! part of an image, `copy` and `layer` make the layers of COPY and ADD without mounting anything.

mod arguments;
mod cache;
mod configure;
mod copy;
mod flags;
mod glob;
mod health;
mod ignore;
mod instruction;
mod job;
mod layer;
mod lines;
mod miss;
mod output;
mod remote;
mod report;
mod source;
mod steps;
mod words;

pub(crate) use configure::quoted;
pub(crate) use glob::path_match;
pub(crate) use miss::Memory;

use docklab_api::{ApiError, ApiResult, models::ContainerConfig};

use crate::image::RunConfig;

/// What `docker commit --change` and `docker import --change` take.
const CHANGES: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Applies `docker commit --change` instructions to a configuration.
pub(crate) fn apply_changes(config: &mut ContainerConfig, changes: &[String]) -> ApiResult<()> {
    let changes: Vec<&String> = changes.iter().filter(|change| !change.trim().is_empty()).collect();
    if changes.is_empty() {
        return Ok(());
    }
    let mut run_config = RunConfig::from_model(config)?;
    let mut command_set = false;
    for change in changes {
        let lines = lines::split(change)?;
        for line in &lines.lines {
            let keyword = line.text.split_whitespace().next().unwrap_or_default();
            if !CHANGES.contains(&keyword.to_ascii_uppercase().as_str()) {
                return Err(ApiError::invalid(format!("{keyword} is not a valid change command")));
            }
            let instruction = instruction::parse(line, lines.escape).map_err(|error| error.at(line.number))?;
            let environment = run_config.env.clone().unwrap_or_default();
            let lookup = |key: &str| {
                let known = environment.iter().filter_map(|entry| entry.split_once('='));
                known.clone().find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
            };
            let kind = instruction.kind.expand(lines.escape, &lookup)?;
            configure::apply(&mut run_config, &kind, &mut command_set)?;
        }
    }
    *config = run_config.to_model()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<ContainerConfig, String> {
        let mut config = ContainerConfig { env: Some(vec!["A=1".to_owned()]), ..ContainerConfig::default() };
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        apply_changes(&mut config, &changes).map_err(|error| error.message)?;
        Ok(config)
    }

    #[test]
    fn changes_are_instructions() {
        let config = changed(&["ENV B=\"$A x\"", "CMD [\"b\"]", "WORKDIR /w", "EXPOSE 80"]).expect("good");
        assert_eq!(config.env, Some(vec!["A=1".to_owned(), "B=1 x".to_owned()]));
        assert_eq!(config.cmd, Some(vec!["b".to_owned()]));
        assert_eq!(config.working_dir.as_deref(), Some("/w"));
        assert_eq!(changed(&["RUN x"]), Err("RUN is not a valid change command".to_owned()));
    }
}
