//! The images run as restricted Pods, and a client outside reaches a model server at a load balancer's address.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use integration_tests::{client::Client, cluster};

const MANIFESTS: &str = include_str!("../cluster/manifests/images.yaml");

#[test]
fn every_image_runs_as_a_restricted_pod() -> Result<()> {
    cluster::test("every_image_runs_as_a_restricted_pod", async |cluster| {
        let tag = cluster.load_images()?;
        cluster.apply(&MANIFESTS.replace("__TAG__", tag))?;
        cluster.wait_for("Ready", &["-n", "images", "pod", "--all"])?;
        let service = ["-n", "images", "service", "model-server"];
        let address = cluster.field(&service, "{.status.loadBalancer.ingress[0].ip}").await?;
        let service_address = cluster.field(&service, "{.spec.clusterIP}").await?;
        for address in [address, service_address] {
            let client = Client::new(SocketAddr::new(address.parse()?, 80));
            let reply = client.completion("chatbot", "What is the color of the sky").await?;
            ensure!(reply.status == 200, "{address}: {} {}", reply.status, reply.text());
            ensure!(reply.pod() == "model-server", "{address}: served by {:?}", reply.pod());
        }
        cluster.kubectl(&["delete", "namespace", "images", "--wait=false"])?;
        Ok(())
    })
}
