//! A program from outside, plugged into a node's shell, and what a scenario may add.

use std::sync::Arc;

use async_trait::async_trait;
use docklab_sim::{Closed, Context, ExternalCommand, World};

struct Greet;

#[async_trait]
impl ExternalCommand for Greet {
    async fn run(&self, context: Context) -> Result<i32, Closed> {
        let who = context.streams.stdin.read_line().await.unwrap_or_default();
        context.out(format!("hello {who} from {} in {}\n", context.argv[1], context.cwd)).await?;
        context.view().write(&context.path("seen"), who.as_bytes(), false).unwrap();
        context.err("done\n").await?;
        Ok(3)
    }
}

#[test]
fn a_plugged_in_command_is_an_ordinary_program_of_the_shell() {
    let world = World::new("2026-03-01T12:00:00Z".parse().unwrap(), 7);
    let node = world.add_node("node1");
    node.add_command("docker", Arc::new(Greet));
    let script = "cd /tmp; echo you | docker run 2>err | tr a-z A-Z; echo world | docker x; echo $? $(cat err seen)";
    let (stdout, stderr, code) = world.block_on(node.run_script(script));
    assert_eq!(stdout, "HELLO YOU FROM RUN IN /TMP\nhello world from x in /tmp\n3 done world\n");
    assert_eq!((stderr.as_str(), code), ("done\n", 0));
}

#[test]
fn a_scenario_adds_an_image_and_a_broken_description_is_an_error() {
    let world = World::new("2026-03-01T12:00:00Z".parse().unwrap(), 7);
    let description = r#"
        name = "teacher/counter"
        base = "alpine"
        cmd = ["counter"]
        [tags.v1]
        [[layer]]
        programs = {"/bin/counter" = "counter"}
        [[program]]
        name = "counter"
        listen = [9000]
        answer = "42"
    "#;
    world.add_image(description).unwrap();
    let node = world.add_node("node1");
    let url = "curl -s https://registry-1.docker.io/v2/teacher/counter/tags/list";
    let (tags, ..) = world.block_on(node.run_script(url));
    assert_eq!(tags.trim(), r#"{"name":"teacher/counter","tags":["v1"]}"#);
    assert!(world.add_image("name = 3").is_err());
}

#[test]
fn records_of_an_engine_can_be_kept() {
    let world = World::new("2026-03-01T12:00:00Z".parse().unwrap(), 7);
    let (one, two) = (world.add_node("node1"), world.add_node("node2"));
    world.block_on(one.host().put_record("container", "c", "value".into())).unwrap();
    two.import_records(&one.export_records()).unwrap();
    let loaded = world.block_on(two.host().load_records("container")).unwrap();
    assert_eq!(loaded, [("c".to_owned(), "value".into())]);
}
