/* Browsers refuse `new Worker` on pages that are opened from disk, and the search runs in one.
 * This stands in for it there: the script runs in a hidden frame instead, and messages go both ways. */
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "search";
      this.waiting = [];
      // A message for the page comes from the frame's own `postMessage`, which its script calls without a target.
      window.addEventListener("message", (event) => {
        if (event.source === frame.contentWindow && event.data && "answer" in event.data) {
          const answer = new MessageEvent("message", { data: event.data.answer });
          this.dispatchEvent(answer);
          if (this.onmessage) this.onmessage(answer);
        }
      });
      frame.addEventListener("load", () => {
        this.frame = frame.contentWindow;
        this.waiting.splice(0).forEach((message) => this.postMessage(message));
      });
      const source = String(url).replace(/&/g, "&amp;").replace(/"/g, "&quot;");
      frame.srcdoc =
        "<script>" +
        "const toPage = (answer) => parent.postMessage({ answer }, '*'); " +
        "window.postMessage = toPage; " +
        "window.importScripts = (...urls) => Promise.all(urls.map((url) => new Promise((done, failed) => { " +
        "const script = document.createElement('script'); " +
        "script.src = url; script.onload = done; script.onerror = failed; document.head.append(script); })));" +
        `<\/script><script src="${source}"><\/script>`;
      const append = () => document.body.append(frame);
      document.body ? append() : addEventListener("DOMContentLoaded", append);
    }

    postMessage(message) {
      if (!this.frame) this.waiting.push(message);
      else this.frame.dispatchEvent(new MessageEvent("message", { data: message }));
    }

    terminate() {
      if (this.frame) this.frame.frameElement.remove();
    }
  };
  window.Worker = window.IFrameWorker;
}
