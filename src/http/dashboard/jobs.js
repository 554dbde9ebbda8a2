// What is done to many deliveries: begun, counted first, and shown while it goes on.

import { get, post } from "./api.js";
import { say } from "./dialogs.js";
import { button, el, when } from "./dom.js";
import { count } from "./words.js";

const LOOK = 250;

/** Begins a job and answers with it once it is over. */
export async function carryOut(what, body, moved) {
  let job = await post(what, body);
  while (job.state === "running") {
    moved(job);
    await new Promise((later) => { setTimeout(later, LOOK); });
    job = await get(`jobs/${job.id}`);
  }
  return job;
}

/** `3 left out: older 2, sending 1`, or nothing. */
export function leftOut({ progress }) {
  const reasons = Object.entries(progress.left_out);
  const all = reasons.reduce((sum, [, many]) => sum + many, 0);
  const words = reasons.map(([reason, many]) => `${reason.replaceAll("_", " ")} ${many}`);
  return all === 0 ? "" : `${all.toLocaleString("en")} left out: ${words.join(", ")}`;
}

/** Jobs that run. */
export function showJobs(element, jobs, refresh) {
  const looks = JSON.stringify(jobs);
  if (element.dataset.looks === looks) return;
  element.dataset.looks = looks;
  element.hidden = jobs.length === 0;
  const had = document.activeElement?.dataset.job;
  element.replaceChildren(el("h2", { id: "jobs-title" }, "Jobs under way"), ...jobs.map((job) => line(job, refresh)));
  if (had) element.querySelector(`[data-job="${had}"]`)?.focus({ preventScroll: true });
}

function line(job, refresh) {
  const { progress } = job;
  const what = `${job.dry_run ? "counting for " : ""}${job.task.kind}`;
  const room = job.waits_for_room ? "; it waits until less is waiting, because senders come first" : "";
  const cancel = button("Cancel", async () => {
    try {
      await post(`jobs/${job.id}/cancel`);
      say(`Job ${job.id} is cancelled; what it did stays done.`);
    } catch (error) {
      say(error.message);
    }
    refresh();
  }, { "data-job": String(job.id), "aria-label": `Cancel job ${job.id}` });
  return el("p", {}, `Job ${job.id}, ${what}: ${count(progress.done, "delivery", "deliveries")} done`,
    progress.reached ? [", up to ", when(progress.reached)] : "", `${room}. `, leftOut(job), " ", cancel);
}
