// How a file gets to the disk: by a link that works for some minutes without the API key, which the browser follows.

import * as api from "./api.js";

export async function download(app, fileId) {
  try {
    const { url } = await api.get(`dashboard/api/files/${encodeURIComponent(fileId)}/download`);
    const link = document.createElement("a");
    link.href = new URL(url, location.href).href;
    if (!/^https?:/.test(link.href)) throw new Error("The answer was no address of a file.");
    link.rel = "noreferrer";
    link.download = "";
    link.click();
    app.say("The download begins.");
  } catch (error) {
    app.fail(error);
  }
}
