// Makes labs and questions of the book live: commands run in docklab's page, which opens beside the text.
"use strict";

(() => {
  const lab = document.querySelector(".docklab-lab[data-page]");
  let frame = null;
  let ready = null;

  // Opens the page beside the text; resolves when it can take commands.
  function open() {
    if (ready) return ready;
    const panel = document.createElement("aside");
    panel.className = "docklab-panel";
    panel.setAttribute("aria-label", "Terminal and diagram");
    const close = document.createElement("button");
    close.type = "button";
    close.className = "docklab-close";
    close.textContent = "Close";
    frame = document.createElement("iframe");
    frame.title = "Terminal and diagram";
    frame.src = `${lab.dataset.page}#/panel/${lab.dataset.lab}`;
    panel.append(close, frame);
    document.body.append(panel);
    document.body.classList.add("docklab-open");
    ready = new Promise((resolve) => {
      addEventListener("message", function listen(event) {
        if (event.source === frame.contentWindow && event.data?.docklab === "ready") {
          removeEventListener("message", listen);
          resolve();
        }
      });
    });
    close.addEventListener("click", () => {
      panel.remove();
      document.body.classList.remove("docklab-open");
      frame = ready = null;
    });
    return ready;
  }

  function button(text, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "docklab-button";
    made.textContent = text;
    made.addEventListener("click", action);
    return made;
  }

  if (lab) {
    lab.append(button("Do it here, beside the text", open));
    for (const part of document.querySelectorAll(".docklab-run, .docklab-file")) {
      const { step, block } = part.dataset;
      if (!step) continue;
      part.append(
        button(part.matches(".docklab-file") ? "Save" : "Run", async () => {
          await open();
          frame.contentWindow.postMessage({ docklab: "do", step, block: Number(block) }, location.origin);
        }),
      );
    }
    addEventListener("message", (event) => {
      if (!frame || event.source !== frame.contentWindow || event.data?.docklab !== "report") return;
      const goals = document.querySelectorAll(`.docklab-check[data-step="${CSS.escape(event.data.step)}"] li`);
      goals.forEach((goal, index) => {
        goal.dataset.reached = String(Boolean(event.data.passed[index]));
      });
    });
  }

  for (const quiz of document.querySelectorAll(".docklab-quiz")) {
    const answer = quiz.querySelector("details");
    for (const choice of quiz.querySelectorAll("li")) {
      const chosen = button("", () => {
        choice.dataset.verdict = choice.dataset.right === "true" ? "right" : "wrong";
        if (choice.dataset.right === "true") answer.open = true;
      });
      chosen.replaceChildren(...choice.childNodes);
      choice.replaceChildren(chosen);
    }
  }
})();
