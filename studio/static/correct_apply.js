// The build that follows corrections: start, progress, cancel.
import { $, ask, complain, toast } from "/static/common.js";

export class Applying {
  /** ended: called when a build is over, whatever it came to. */
  constructor(ended) {
    this.ended = ended;
    this.events = null;
    $("#cancel").addEventListener("click", () => ask("POST", "/dataset/apply/cancel").catch(complain));
  }

  async start() {
    if (this.events) return;
    try {
      this.show(await ask("POST", "/dataset/apply"));
      this.follow();
    } catch (error) {
      complain(error);
    }
  }

  /** One may be running from before. */
  async look() {
    const now = await ask("GET", "/dataset/apply");
    if (now.state === "running") {
      this.show(now);
      this.follow();
    }
  }

  follow() {
    this.events = new EventSource("/dataset/apply/events?follow=false");
    this.events.addEventListener("progress", (event) => {
      const now = JSON.parse(event.data);
      this.show(now);
      if (now.state === "running") return;
      this.events.close();
      this.events = null;
      this.over(now);
    });
  }

  show(now) {
    const running = now.state === "running", share = now.total ? Math.round((100 * now.done) / now.total) : 0;
    $("#apply").disabled = running;
    $("#cancel").hidden = $("#meter").hidden = !running;
    $("#meter").setAttribute("aria-valuenow", share);
    $("#meter i").style.width = `${share}%`;
    const how = now.waiting ? "waiting for the studio's model to end what it does …" : now.total ? `${now.done} of ${now.total} clips` : "planning …";
    $("#building").textContent = running ? how : now.state === "failed" ? now.says : "";
  }

  async over(now) {
    const words = { done: "Applied: the crops follow the corrections.", cancelled: "Cancelled; what was made stays.", failed: "The build failed." };
    toast(now.status === 3 ? "Applied; some windows failed and stand first in the list." : words[now.state], now.state !== "done" || now.status === 3);
    try {
      await this.ended();
    } catch (error) {
      complain(error);
    }
  }
}
