//! Labs in the simulator, in this process.

use anyhow::{Result, bail};
use docklab_scenario::{Scenario, TestReport};

pub(super) async fn test(_scenario: &Scenario) -> Result<TestReport> {
    bail!("the simulator is not connected to this command yet; use --engine docklab")
}
