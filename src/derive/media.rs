//! Which processes have the media repository (`synapse/config/repository.py`).

use super::process::{Process, Processes};
use super::report::Report;
use super::value::truth;

const APP: &str = "synapse.app.media_repository";

/// Whether a process loads the media repository: unless it is told not to, or is nothing else.
pub(super) fn is_loaded(process: &Process) -> bool {
    let forbidden = process.settings.get("enable_media_repo").and_then(truth) == Some(false);
    !forbidden || process.app.is_some_and(|(app, _)| app == APP)
}

/// Whether a worker's listener has the media repository.
pub(super) fn is_served(worker: &Process) -> bool {
    is_loaded(worker) && worker.door().is_some_and(|door| door.has("media"))
}

/// Holds the main process and the workers for media against each other.
pub(super) fn check(processes: &Processes, media_workers: &[&Process], report: &mut Report) {
    let settings = &processes.main.settings;
    let mark = settings.get("enable_media_repo").map_or(settings.start, |node| node.mark);
    match (is_loaded(&processes.main), media_workers) {
        (true, [worker, ..]) => {
            let at = report.place(worker.mark);
            let message = format!("the main process looks after media as well as `{}` at {at}", worker.name);
            let remedy = "write `enable_media_repo: false` into the main configuration, and, unless its `worker_app` is \
                          synapse.app.media_repository, `enable_media_repo: true` into the worker's";
            report.warning(mark, "enable_media_repo", message, remedy);
        }
        (false, []) => {
            let message = "nobody looks after media: neither the main process nor a worker";
            report.warning(mark, "enable_media_repo", message, "add a worker for media, or remove the key");
        }
        (true, []) | (false, [_, ..]) => {}
    }
    let key = "media_instance_running_background_jobs";
    if let ([_, second, ..], None) = (media_workers, settings.get(key)) {
        let message = format!("`{}` is not the only worker for media, and each of them tidies up", second.name);
        report.warning(second.mark, "worker_name", message, format!("name one of them in `{key}`"));
    }
}
