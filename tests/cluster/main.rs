//! On a real Kubernetes of one node (`cargo xtask cluster test`): the agent as `deploy/` puts it
//! there, a real OpenTelemetry Collector and applications as pods.

mod capabilities;
mod cardinality;
mod chart;
mod dashboards;
mod load;
mod outage;
mod privileges;
#[path = "../collector/real.rs"]
#[allow(dead_code, reason = "what one test binary does not need another does")]
mod real;
mod rollout;
mod shop;
mod spans;
