use docklab_api::{
    ApiError, ApiResult,
    models::{ContainerConfig, ContainerCreateBody, ImageConfig},
};

/// The configuration part of a create request.
pub(crate) fn config_of(body: ContainerCreateBody) -> ContainerConfig {
    ContainerConfig {
        hostname: body.hostname,
        domainname: body.domainname,
        user: body.user,
        attach_stdin: body.attach_stdin,
        attach_stdout: body.attach_stdout,
        attach_stderr: body.attach_stderr,
        exposed_ports: body.exposed_ports,
        tty: body.tty,
        open_stdin: body.open_stdin,
        stdin_once: body.stdin_once,
        env: body.env,
        cmd: body.cmd,
        healthcheck: body.healthcheck,
        args_escaped: body.args_escaped,
        image: body.image,
        volumes: body.volumes,
        working_dir: body.working_dir,
        entrypoint: body.entrypoint,
        network_disabled: body.network_disabled,
        mac_address: body.mac_address,
        on_build: body.on_build,
        labels: body.labels,
        stop_signal: body.stop_signal,
        stop_timeout: body.stop_timeout,
        shell: body.shell,
    }
}

fn is_empty(text: Option<&String>) -> bool {
    text.is_none_or(String::is_empty)
}

/// Fills what the user left open from the image, by Docker's rules: the image's command only with no entrypoint of the
/// user's, its environment behind the user's, its labels, ports and volumes added.
pub(crate) fn with_image(config: &mut ContainerConfig, image: &ImageConfig) -> ApiResult<()> {
    if is_empty(config.user.as_ref()) {
        config.user.clone_from(&image.user);
    }
    if let Some(ports) = &image.exposed_ports {
        config.exposed_ports.get_or_insert_default().extend(ports.clone());
    }
    if let Some(environment) = image.env.as_ref().filter(|environment| !environment.is_empty()) {
        let own = config.env.get_or_insert_default();
        for entry in environment {
            let key = entry.split('=').next().unwrap_or(entry);
            if !own.iter().any(|mine| mine.split('=').next() == Some(key)) {
                own.push(entry.clone());
            }
        }
    }
    let labels = config.labels.get_or_insert_default();
    for (key, value) in image.labels.iter().flatten() {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if config.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint = image.entrypoint.clone().filter(|entrypoint| !entrypoint.is_empty());
        }
    }
    // `--entrypoint ""` resets the image's.
    if config.entrypoint.as_ref().is_some_and(|entrypoint| entrypoint.len() == 1 && entrypoint[0].is_empty()) {
        config.entrypoint = None;
    }
    merge_health(config, image);
    if is_empty(config.working_dir.as_ref()) {
        config.working_dir.clone_from(&image.working_dir);
    }
    if let Some(volumes) = &image.volumes {
        config.volumes.get_or_insert_default().extend(volumes.clone());
    }
    if is_empty(config.stop_signal.as_ref()) {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
    let words = |list: Option<&Vec<String>>| list.map_or(0, Vec::len);
    if words(config.entrypoint.as_ref()) + words(config.cmd.as_ref()) == 0 {
        return Err(ApiError::invalid("no command specified"));
    }
    Ok(())
}

fn merge_health(config: &mut ContainerConfig, image: &ImageConfig) {
    let Some(theirs) = &image.healthcheck else { return };
    let Some(own) = &mut config.healthcheck else {
        config.healthcheck = Some(theirs.clone());
        return;
    };
    if own.test.as_ref().is_none_or(Vec::is_empty) {
        own.test.clone_from(&theirs.test);
    }
    for (mine, image) in [
        (&mut own.interval, theirs.interval),
        (&mut own.timeout, theirs.timeout),
        (&mut own.start_period, theirs.start_period),
        (&mut own.start_interval, theirs.start_interval),
        (&mut own.retries, theirs.retries),
    ] {
        if mine.unwrap_or(0) == 0 {
            *mine = image;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn an_own_entrypoint_drops_the_images_command() {
        let image = ImageConfig { cmd: words(&["top"]), entrypoint: words(&["/e"]), ..Default::default() };
        let mut config = ContainerConfig { entrypoint: words(&["sleep"]), ..Default::default() };
        assert!(with_image(&mut config, &image).is_ok());
        assert_eq!((config.entrypoint, config.cmd), (words(&["sleep"]), None));
        let mut config = ContainerConfig { cmd: words(&["ls"]), ..Default::default() };
        assert!(with_image(&mut config, &image).is_ok());
        assert_eq!((config.entrypoint, config.cmd), (words(&["/e"]), words(&["ls"])));
    }

    #[test]
    fn the_images_environment_stands_behind_the_users() {
        let image = ImageConfig { env: words(&["PATH=/bin", "A=image"]), cmd: words(&["x"]), ..Default::default() };
        let mut config = ContainerConfig { env: words(&["A=mine"]), ..Default::default() };
        assert!(with_image(&mut config, &image).is_ok());
        assert_eq!(config.env, words(&["A=mine", "PATH=/bin"]));
    }

    #[test]
    fn nothing_to_run_is_an_error() {
        let error = with_image(&mut ContainerConfig::default(), &ImageConfig::default()).unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (400, "no command specified"));
    }
}
