//! `grpc.AgentService`: one short method for each request that is served.

use std::sync::Arc;

use executor::container::Process;
use executor::layers::SealedLayer;
use policy_engine::request::{DestroySandbox, Signal, SignalContainerProcess};
use policy_engine::{ContainerId, Grant};
use proto::kata::agent::{
    AgentDetails, CloseStdinRequest, CreateContainerRequest, CreateSandboxRequest, DestroySandboxRequest,
    ExecProcessRequest, GetOOMEventRequest, GuestDetailsRequest, GuestDetailsResponse, OOMEvent,
    PauseContainerRequest, ReadStreamRequest, ReadStreamResponse, RemoveContainerRequest,
    ResumeContainerRequest, SignalProcessRequest, StartContainerRequest, StatsContainerRequest,
    StatsContainerResponse, TtyWinResizeRequest, UpdateContainerRequest, WaitProcessRequest,
    WaitProcessResponse, WriteStreamRequest, WriteStreamResponse,
};
use proto::kata::{Empty, agent_ttrpc};
use tokio::sync::{Mutex, mpsc};
use ttrpc::r#async::TtrpcContext;

use crate::decision::{Guest, OomReceiver, OperationError, Worker};
use crate::inventory::{ProcessKey, Processes};
use crate::pull::Puller;
use crate::reply::{self, Failure};
use crate::request::{self, ContainerPlan, RequestError, RootLayers, SandboxPlan};

/// Takes the grant to switch the guest off, once the host took the sandbox down.
pub(crate) type Shutdown = mpsc::Sender<Grant<DestroySandbox>>;

/// Kata's agent, as a host sees it.
pub(crate) struct KataService {
    worker: Worker,
    puller: Puller,
    processes: Processes,
    /// One caller at a time waits for an event; others queue.
    oom_events: Mutex<OomReceiver>,
    shutdown: Shutdown,
}

impl KataService {
    pub(crate) fn new(
        worker: Worker,
        puller: Puller,
        processes: Processes,
        oom_events: OomReceiver,
        shutdown: Shutdown,
    ) -> Self {
        Self { worker, puller, processes, oom_events: Mutex::new(oom_events), shutdown }
    }

    /// Queues a change and waits for its outcome.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Guest) -> Result<T, OperationError> + Send + 'static,
    ) -> Result<T, Failure> {
        Ok(self.worker.run(change).await??)
    }

    /// The layers of the plan's image, if it has one to be pulled. Other requests go on meanwhile.
    async fn image(&self, plan: &ContainerPlan) -> Result<Vec<Arc<SealedLayer>>, Failure> {
        let RootLayers::Image { reference, .. } = &plan.root.layers else { return Ok(Vec::new()) };
        let id = plan.container.container_id.clone();
        self.change(move |guest| guest.check_new(&id)).await?;
        Ok(self.puller.pull(reference, &self.worker).await?)
    }

    /// The process that a message names.
    fn process(&self, container: &str, exec: &str) -> Result<(ProcessKey, Process), Failure> {
        let container_id = request::container_id(container)?;
        let exec_id = request::exec_id(exec, &container_id)?;
        if !self.processes.has_container(&container_id) {
            return Err(OperationError::NotFound { what: "container" }.into());
        }
        let key = ProcessKey { container_id, exec_id };
        let process = self.processes.get(&key).ok_or(OperationError::NotFound { what: "process" })?;
        Ok((key, process))
    }

    async fn wait(&self, message: &WaitProcessRequest) -> Result<WaitProcessResponse, Failure> {
        let (key, process) = self.process(&message.container_id, &message.exec_id)?;
        let status = process.wait().await.get();
        // The end of an exec is told to whoever waits now; that of an init until the container is removed.
        if key.exec_id.is_some() {
            self.worker.run(move |guest| guest.forget(&key, &process)).await?;
        }
        Ok(WaitProcessResponse { status, ..Default::default() })
    }

    async fn read(&self, message: &ReadStreamRequest, stream: Output) -> Result<ReadStreamResponse, Failure> {
        let (_, process) = self.process(&message.container_id, &message.exec_id)?;
        let length = usize::try_from(message.len).unwrap_or(usize::MAX);
        let data = match stream {
            Output::Stdout => process.read_stdout(length).await,
            Output::Stderr => process.read_stderr(length).await,
        };
        Ok(ReadStreamResponse { data: data.map_err(Failure::Stdio)?, ..Default::default() })
    }

    async fn write(&self, message: &WriteStreamRequest) -> Result<WriteStreamResponse, Failure> {
        let (_, process) = self.process(&message.container_id, &message.exec_id)?;
        if message.data.is_empty() {
            // Kata's Rust shim closes stdin by an empty write.
            process.close_stdin().map_err(Failure::Stdio)?;
            return Ok(WriteStreamResponse::default());
        }
        let written = process.write_stdin(&message.data).await.map_err(Failure::Stdio)?;
        Ok(WriteStreamResponse { len: u32::try_from(written).unwrap_or(u32::MAX), ..Default::default() })
    }

    async fn signal(&self, message: &SignalProcessRequest) -> Result<(), Failure> {
        let container_id = request::container_id(&message.container_id)?;
        let exec_id = request::exec_id(&message.exec_id, &container_id)?;
        let signal = Signal::new(message.signal)
            .ok_or(RequestError::Value { field: "signal", expected: "1 to 64" })?;
        // Kata's convention: SIGKILL for the init is for every process of the container.
        let all = exec_id.is_none() && signal == Signal::KILL;
        let request = SignalContainerProcess { container_id, exec_id, signal, all, args: Vec::new() };
        self.change(move |guest| guest.signal(request)).await
    }
}

/// Which of a process's outputs.
#[derive(Clone, Copy)]
enum Output {
    Stdout,
    Stderr,
}

/// Parses the id of a message and queues a change of that container.
macro_rules! container_change {
    ($service:expr, $message:expr, $change:expr) => {{
        let id: ContainerId = request::container_id(&$message.container_id).map_err(Failure::from)?;
        $service.change(move |guest| $change(guest, &id)).await?
    }};
}

#[async_trait::async_trait]
impl agent_ttrpc::AgentService for KataService {
    async fn create_sandbox(&self, _: &TtrpcContext, message: CreateSandboxRequest) -> ttrpc::Result<Empty> {
        let request = SandboxPlan::try_from(&message).map_err(Failure::from)?;
        self.change(move |guest| guest.create_sandbox(request)).await?;
        Ok(Empty::new())
    }

    async fn destroy_sandbox(&self, _: &TtrpcContext, _: DestroySandboxRequest) -> ttrpc::Result<Empty> {
        let granted = self.change(Guest::destroy_sandbox).await?;
        // One is enough: a second grant finds the guest going down.
        let _going_down = self.shutdown.try_send(granted);
        Ok(Empty::new())
    }

    async fn create_container(
        &self,
        _: &TtrpcContext,
        message: CreateContainerRequest,
    ) -> ttrpc::Result<Empty> {
        let plan = ContainerPlan::try_from(&message).map_err(Failure::from)?;
        drop(message);
        let image = self.image(&plan).await?;
        self.change(move |guest| guest.create_container(plan, &image)).await?;
        Ok(Empty::new())
    }

    async fn start_container(
        &self,
        _: &TtrpcContext,
        message: StartContainerRequest,
    ) -> ttrpc::Result<Empty> {
        container_change!(self, message, Guest::start_container);
        Ok(Empty::new())
    }

    async fn remove_container(
        &self,
        _: &TtrpcContext,
        message: RemoveContainerRequest,
    ) -> ttrpc::Result<Empty> {
        container_change!(self, message, Guest::remove_container);
        Ok(Empty::new())
    }

    async fn exec_process(&self, _: &TtrpcContext, message: ExecProcessRequest) -> ttrpc::Result<Empty> {
        let request = request::exec(&message).map_err(Failure::from)?;
        self.change(move |guest| guest.exec(request)).await?;
        Ok(Empty::new())
    }

    async fn signal_process(&self, _: &TtrpcContext, message: SignalProcessRequest) -> ttrpc::Result<Empty> {
        self.signal(&message).await?;
        Ok(Empty::new())
    }

    async fn wait_process(
        &self,
        _: &TtrpcContext,
        message: WaitProcessRequest,
    ) -> ttrpc::Result<WaitProcessResponse> {
        Ok(self.wait(&message).await?)
    }

    async fn pause_container(
        &self,
        _: &TtrpcContext,
        message: PauseContainerRequest,
    ) -> ttrpc::Result<Empty> {
        let request = request::pause(&message).map_err(Failure::from)?;
        self.change(move |guest| guest.pause(request)).await?;
        Ok(Empty::new())
    }

    async fn resume_container(
        &self,
        _: &TtrpcContext,
        message: ResumeContainerRequest,
    ) -> ttrpc::Result<Empty> {
        let request = request::resume(&message).map_err(Failure::from)?;
        self.change(move |guest| guest.resume(request)).await?;
        Ok(Empty::new())
    }

    async fn update_container(
        &self,
        _: &TtrpcContext,
        message: UpdateContainerRequest,
    ) -> ttrpc::Result<Empty> {
        let request = request::update(&message).map_err(Failure::from)?;
        self.change(move |guest| guest.update(request)).await?;
        Ok(Empty::new())
    }

    async fn get_oom_event(&self, _: &TtrpcContext, _: GetOOMEventRequest) -> ttrpc::Result<OOMEvent> {
        let container = self.oom_events.lock().await.recv().await;
        let container =
            container.ok_or(OperationError::NotFound { what: "sandbox" }).map_err(Failure::from)?;
        Ok(OOMEvent { container_id: container.to_string(), ..Default::default() })
    }

    async fn stats_container(
        &self,
        _: &TtrpcContext,
        message: StatsContainerRequest,
    ) -> ttrpc::Result<StatsContainerResponse> {
        let stats = container_change!(self, message, Guest::stats);
        Ok(reply::stats_response(&stats))
    }

    async fn read_stdout(
        &self,
        _: &TtrpcContext,
        message: ReadStreamRequest,
    ) -> ttrpc::Result<ReadStreamResponse> {
        Ok(self.read(&message, Output::Stdout).await?)
    }

    async fn read_stderr(
        &self,
        _: &TtrpcContext,
        message: ReadStreamRequest,
    ) -> ttrpc::Result<ReadStreamResponse> {
        Ok(self.read(&message, Output::Stderr).await?)
    }

    async fn write_stdin(
        &self,
        _: &TtrpcContext,
        message: WriteStreamRequest,
    ) -> ttrpc::Result<WriteStreamResponse> {
        Ok(self.write(&message).await?)
    }

    async fn close_stdin(&self, _: &TtrpcContext, message: CloseStdinRequest) -> ttrpc::Result<Empty> {
        let (_, process) = self.process(&message.container_id, &message.exec_id)?;
        process.close_stdin().map_err(Failure::Stdio)?;
        Ok(Empty::new())
    }

    async fn tty_win_resize(&self, _: &TtrpcContext, message: TtyWinResizeRequest) -> ttrpc::Result<Empty> {
        let (_, process) = self.process(&message.container_id, &message.exec_id)?;
        let size = request::terminal_size(message.row, message.column).map_err(Failure::from)?;
        process.resize(size).map_err(Failure::Stdio)?;
        Ok(Empty::new())
    }

    async fn get_guest_details(
        &self,
        _: &TtrpcContext,
        _: GuestDetailsRequest,
    ) -> ttrpc::Result<GuestDetailsResponse> {
        let details = AgentDetails {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            init_daemon: std::process::id() == 1,
            storage_handlers: ["blk", "ephemeral", "overlayfs", "image_guest_pull"]
                .map(str::to_owned)
                .to_vec(),
            supports_seccomp: true,
            ..Default::default()
        };
        Ok(GuestDetailsResponse { agent_details: Some(details).into(), ..Default::default() })
    }
}
