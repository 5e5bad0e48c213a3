// Crops as looping videos, loaded before they are needed.
import { el } from "/static/common.js";

export const source = (sample) => `/dataset/crops/${encodeURIComponent(sample.sample_id)}`;

/** Which frame of a crop a video shows. */
export function frameAt(video, sample) {
  if (!video || !(video.duration > 0)) return 0;
  return Math.min(sample.num_frames - 1, Math.floor(video.currentTime / video.duration * sample.num_frames + 1e-3));
}

/** The second of the source video that a video shows. */
export function secondAt(video, sample) {
  const steps = Math.max(1, sample.num_frames - 1);
  return sample.start_s + frameAt(video, sample) / steps * (sample.end_s - sample.start_s);
}

/** Videos by sample id, the next ones loading in the background. */
export class Reel {
  constructor() {
    this.videos = new Map();
    this.speed = 1;
  }

  /** The video of a crop, loading if it was not. */
  of(sample) {
    let video = this.videos.get(sample.sample_id);
    if (!video) {
      video = el("video", { muted: true, loop: true, playsinline: true, preload: "auto", tabindex: "-1", "aria-hidden": "true" });
      video.muted = true;
      video.src = source(sample);
      this.videos.set(sample.sample_id, video);
    }
    video.playbackRate = this.speed;
    return video;
  }

  /** Load these, and let go of all others. */
  keep(samples) {
    const wanted = new Set(samples.map((sample) => sample.sample_id));
    for (const [id, video] of this.videos) {
      if (wanted.has(id)) continue;
      video.pause();
      video.removeAttribute("src");
      video.load();
      video.remove();
      this.videos.delete(id);
    }
    for (const sample of samples) this.of(sample);
  }

  faster(speed) {
    this.speed = speed;
    for (const video of this.videos.values()) video.playbackRate = speed;
  }
}
