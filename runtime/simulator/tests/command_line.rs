//! The docker command line against a simulated engine: what it prints on both streams and how it exits, by group of
//! commands. Texts are those of Docker's own client.

use docklab_sim::World;
use docklab_simulator::Simulator;

/// Runs commands one after the other on one node and writes down each with what came back. `setup` is not shown.
fn transcript(setup: &str, commands: &[&str]) -> String {
    let world = World::new("2026-01-01T00:00:00Z".parse().expect("a date"), 1);
    let simulator = world.block_on(Simulator::open(world.clone(), &["node1".to_owned()])).expect("a simulator opens");
    let node = simulator.node(None).expect("there is a node").node;
    if !setup.is_empty() {
        let (stdout, stderr, code) = world.block_on(node.run_script(setup));
        assert_eq!(code, 0, "{stdout}\n{stderr}");
    }
    let mut text = String::new();
    for command in commands {
        let (stdout, stderr, code) = world.block_on(node.run_script(command));
        text.push_str(&format!("$ {command}\n{stdout}"));
        text.extend(stderr.lines().map(|line| format!("! {line}\n")));
        if code != 0 {
            text.push_str(&format!("exit {code}\n"));
        }
    }
    text
}

#[test]
fn flags_are_judged_before_anything_is_sent() {
    let text = transcript(
        "",
        &[
            "docker run --mount type=bind,dst=/x,volume-nocopy nginx 2>&1 | head -1",
            "docker run --ulimit nofile=5:3 nginx 2>&1 | head -1",
            "docker run -p 80:80/foo nginx 2>&1 | head -1",
            "docker run --network name=a,foo=b nginx 2>&1 | head -1",
            "docker run --restart on-failure:x nginx 2>&1 | head -1",
            "docker run --health-interval -1s nginx 2>&1 | head -1",
            "docker run --gpus bad nginx 2>&1 | head -1",
            "docker service create --secret target=x nginx 2>&1 | head -1",
            "docker network create --subnet 10.1.0.0/16 --gateway 10.9.0.1 n",
        ],
    );
    let expected = r#"$ docker run --mount type=bind,dst=/x,volume-nocopy nginx 2>&1 | head -1
invalid argument "type=bind,dst=/x,volume-nocopy" for "--mount" flag: cannot mix 'volume-*' options with mount type 'bind'
$ docker run --ulimit nofile=5:3 nginx 2>&1 | head -1
invalid argument "nofile=5:3" for "--ulimit" flag: ulimit soft limit must be less than or equal to hard limit: 5 > 3
$ docker run -p 80:80/foo nginx 2>&1 | head -1
docker: invalid proto: foo
$ docker run --network name=a,foo=b nginx 2>&1 | head -1
invalid argument "name=a,foo=b" for "--network" flag: invalid field key foo
$ docker run --restart on-failure:x nginx 2>&1 | head -1
docker: invalid restart policy format: maximum retry count must be an integer
$ docker run --health-interval -1s nginx 2>&1 | head -1
docker: --health-interval cannot be negative
$ docker run --gpus bad nginx 2>&1 | head -1
invalid argument "bad" for "--gpus" flag: invalid count (bad): value must be either "all" or an integer: invalid syntax
$ docker service create --secret target=x nginx 2>&1 | head -1
invalid argument "target=x" for "--secret" flag: source is required
$ docker network create --subnet 10.1.0.0/16 --gateway 10.9.0.1 n
! no matching subnet for gateway 10.9.0.1
exit 1
"#;
    assert_eq!(text, expected);
}

#[test]
fn containers_are_listed_inspected_and_removed() {
    let text = transcript(
        "docker run -d --name web -p 8080:80 -l tier=front nginx > /dev/null 2>&1",
        &[
            "docker ps --format '{{.Names}} {{.Ports}} {{.Label \"tier\"}}'",
            "docker ps --format '{{.Nosuch}}'",
            "docker inspect -f '{{.State.Status}} {{index .Config.Labels \"tier\"}} {{.Config.Volumes}}' web",
            "docker inspect -f '{{.State.Nosuch}}' web",
            "docker inspect nosuch",
            "docker inspect --type bad web",
            "docker port web",
            "docker port web 443",
            "docker rm web nosuch 2>&1 | sed 's/[0-9a-f]\\{64\\}/ID/'",
            "docker rm -f web nosuch",
            "docker rename web ' '",
        ],
    );
    let expected = r#"$ docker ps --format '{{.Names}} {{.Ports}} {{.Label "tier"}}'
web 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp front
$ docker ps --format '{{.Nosuch}}'
! failed to execute template: template: :1:2: executing "" at <.Nosuch>: can't evaluate field Nosuch in type *formatter.ContainerContext
exit 1
$ docker inspect -f '{{.State.Status}} {{index .Config.Labels "tier"}} {{.Config.Volumes}}' web
running front map[]
$ docker inspect -f '{{.State.Nosuch}}' web

! template parsing error: template: :1:8: executing "" at <.State.Nosuch>: map has no entry for key "Nosuch"
exit 1
$ docker inspect nosuch
[]
! Error: No such object: nosuch
exit 1
$ docker inspect --type bad web
! unknown type: "bad": must be one of "config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"
exit 1
$ docker port web
80/tcp -> 0.0.0.0:8080
80/tcp -> [::]:8080
$ docker port web 443
! Error: No public port '443' published for web
exit 1
$ docker rm web nosuch 2>&1 | sed 's/[0-9a-f]\{64\}/ID/'
Error response from daemon: cannot remove container "web": container is running: stop the container before removing or force remove
Error response from daemon: No such container: nosuch
$ docker rm -f web nosuch
web
! Error response from daemon: No such container: nosuch
$ docker rename web ' '
! Error: Neither old nor new names may be empty
exit 1
"#;
    assert_eq!(text, expected);
}

#[test]
fn a_stack_is_deployed_listed_and_removed() {
    let file = "cat > stack.yml <<'END'\nversion: \"3.8\"\nservices:\n  web:\n    image: nginx:${TAG:-1.27}\n    \
                deploy: {replicas: 2}\n    ports: [\"8080:80\"]\n    configs: [motd]\n  db:\n    image: mongo\nconfigs:\n  \
                motd: {file: ./motd}\nEND\necho hi > motd; docker swarm init > /dev/null";
    let text = transcript(
        file,
        &[
            "docker stack deploy -d --resolve-image never -c stack.yml shop",
            "docker stack ls",
            "docker stack services --format '{{.Name}} {{.Mode}} {{.Image}} {{.Ports}}' shop",
            "docker service inspect -f '{{index .Spec.Labels \"com.docker.stack.namespace\"}}' shop_web",
            "docker stack deploy -d --resolve-image never -c stack.yml shop 2>&1 | sed 's/id: .*)/id: ID)/'",
            "docker service rm shop_web shop_db > /dev/null; sleep 5; docker stack rm shop",
            "docker stack rm shop",
            "docker stack ps shop",
            "printf 'services:\\n  web: {image: x, nosuch: 1}\\n' | docker stack deploy -d -c - shop",
            "docker stack deploy -d shop",
        ],
    );
    let expected = r#"$ docker stack deploy -d --resolve-image never -c stack.yml shop
Creating network shop_default
Creating config shop_motd
Creating service shop_db
Creating service shop_web
$ docker stack ls
NAME      SERVICES
shop      2
$ docker stack services --format '{{.Name}} {{.Mode}} {{.Image}} {{.Ports}}' shop
shop_db replicated mongo 
shop_web replicated nginx:1.27 *:8080->80/tcp
$ docker service inspect -f '{{index .Spec.Labels "com.docker.stack.namespace"}}' shop_web
shop
$ docker stack deploy -d --resolve-image never -c stack.yml shop 2>&1 | sed 's/id: .*)/id: ID)/'
Updating service shop_db (id: ID)
Updating service shop_web (id: ID)
$ docker service rm shop_web shop_db > /dev/null; sleep 5; docker stack rm shop
Removing config shop_motd
Removing network shop_default
$ docker stack rm shop
! Nothing found in stack: shop
$ docker stack ps shop
! nothing found in stack: shop
exit 1
$ printf 'services:\n  web: {image: x, nosuch: 1}\n' | docker stack deploy -d -c - shop
! services.web Additional property nosuch is not allowed
exit 1
$ docker stack deploy -d shop
! Specify a Compose file (with --compose-file)
exit 1
"#;
    assert_eq!(text, expected);
}

#[test]
fn contexts_are_made_used_and_removed() {
    let text = transcript(
        "",
        &[
            "docker context create lab --docker host=tcp://10.0.0.1:2375 --description 'the lab'",
            "docker context ls --format '{{.Name}} {{.DockerEndpoint}} {{.Current}}'",
            "docker context use lab",
            "docker context show",
            "docker context rm lab",
            "docker context rm -f lab",
            "docker context use nosuch 2>&1 | cut -d: -f1-2",
            "docker context create default",
        ],
    );
    let expected = r#"$ docker context create lab --docker host=tcp://10.0.0.1:2375 --description 'the lab'
lab
! Successfully created context "lab"
$ docker context ls --format '{{.Name}} {{.DockerEndpoint}} {{.Current}}'
default unix:///var/run/docker.sock true
lab tcp://10.0.0.1:2375 false
$ docker context use lab
lab
! Current context is now "lab"
$ docker context show
lab
$ docker context rm lab
! context "lab" is in use, set -f flag to force remove
exit 1
$ docker context rm -f lab
lab
$ docker context use nosuch 2>&1 | cut -d: -f1-2
context "nosuch": context not found
$ docker context create default
! "default" is a reserved context name
exit 1
"#;
    assert_eq!(text, expected);
}
