"use strict";

// A button plays its stretch of its clip; pressed again it stops. One at a time.
let playing = null;

function stop() {
  if (!playing) return;
  playing.audio.pause();
  playing.button.classList.remove("plays");
  playing = null;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-from]");
  if (!button) return;
  const wasPlaying = playing && playing.button === button;
  stop();
  const audio = button.closest("section").querySelector("audio");
  if (wasPlaying || !audio) return;
  playing = { audio, button, to: Number(button.dataset.to) };
  audio.currentTime = Number(button.dataset.from);
  button.classList.add("plays");
  audio.play();
});

for (const audio of document.querySelectorAll("audio")) {
  audio.addEventListener("timeupdate", () => {
    if (playing && playing.audio === audio && audio.currentTime >= playing.to) stop();
  });
  audio.addEventListener("ended", stop);
}
