//! From a booted guest to a serving one, until the host takes it down.

use policy_engine::Grant;
use policy_engine::request::DestroySandbox;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::boot::Booted;
use crate::decision::{Guest, OomEvents, Worker};
use crate::pull::{ConfigurePullError, Puller};
use crate::telemetry::{self, HOST};
use crate::{transport, workload};

/// Why the guest does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("cannot start the thread that changes the guest")]
    Worker(#[source] std::io::Error),
    #[error("cannot reap orphaned processes")]
    Reaper(#[source] std::io::Error),
    #[error("cannot serve workloads")]
    Workload(#[source] std::io::Error),
    #[error("cannot pull images as configured")]
    Pull(#[source] ConfigurePullError),
    #[error("cannot open the door to the host")]
    Transport(#[source] transport::OpenError),
    #[error("the door to the host closed")]
    Door,
}

/// Serves until the sandbox is destroyed. The grant is for switching the guest off.
pub(crate) fn run(booted: Booted) -> Result<Grant<DestroySandbox>, ServeError> {
    // One thread for all that waits. What blocks has the worker's thread.
    let runtime = Builder::new_current_thread().enable_all().build().map_err(ServeError::Runtime)?;
    runtime.block_on(serve(booted))
}

async fn serve(booted: Booted) -> Result<Grant<DestroySandbox>, ServeError> {
    let Booted { config, engine, launcher, security_context, reports, policy } = booted;
    let (oom_events, oom_receiver) = OomEvents::channel();
    let guest = Guest::new(engine, launcher, security_context, oom_events);
    let processes = guest.processes();
    let worker = Worker::start(guest, tokio::runtime::Handle::current()).map_err(ServeError::Worker)?;
    tokio::spawn(reap(signal(SignalKind::child()).map_err(ServeError::Reaper)?, worker.clone()));
    workload::open(config.workload_api, reports, policy).await.map_err(ServeError::Workload)?;

    let (shutdown, mut destroyed) = mpsc::channel(1);
    let puller = Puller::new(config.pull).map_err(ServeError::Pull)?;
    let mut server =
        transport::open(&config.server_address, worker, puller, processes, oom_receiver, shutdown)
            .await
            .map_err(ServeError::Transport)?;
    let resident_kib = telemetry::resident_kib().unwrap_or(0);
    let uptime = telemetry::uptime_seconds().unwrap_or_default();
    tracing::info!(
        target: HOST,
        "agent ready on {}, {resident_kib} KiB resident, {uptime} s after the kernel's start",
        config.server_address
    );
    let granted = destroyed.recv().await.ok_or(ServeError::Door)?;
    tracing::info!(target: HOST, "the sandbox is destroyed");
    // The answer to the host's last request is on its way; failing to close in order changes nothing.
    let _closed = server.shutdown().await;
    Ok(granted)
}

/// PID 1's duty to the orphans that fall to it.
async fn reap(mut children: Signal, worker: Worker) {
    while children.recv().await.is_some() {
        // With the queue full, the next child that ends brings this one along.
        let _reaped = worker.run(Guest::reap_orphans).await;
    }
}
