// Sends a file: in one form if it is small, else in parts that the API joins. Each part is tried again if it is lost.

import * as api from "./api.js";

/** The id of the file. `onProgress(bytes)`: how much was sent. */
export async function upload(file, limits, onProgress) {
  return file.size <= limits.max_upload_part_bytes ? inOneForm(file, onProgress) : inParts(file, limits, onProgress);
}

async function inOneForm(file, onProgress) {
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", file, nameOf(file));
  const { id } = await api.send("v1/files", form);
  onProgress(file.size);
  return id;
}

async function inParts(file, limits, onProgress) {
  const started = { bytes: file.size, filename: nameOf(file), mime_type: "application/jsonl", purpose: "batch" };
  const { id } = await api.post("v1/uploads", started);
  const partIds = [];
  for (let from = 0; from < file.size; from += limits.max_upload_part_bytes) {
    const piece = file.slice(from, from + limits.max_upload_part_bytes);
    const form = new FormData();
    form.set("data", piece, "part");
    partIds.push((await api.send(`v1/uploads/${encodeURIComponent(id)}/parts`, form)).id);
    onProgress(from + piece.size);
  }
  const { file: whole } = await api.post(`v1/uploads/${encodeURIComponent(id)}/complete`, { part_ids: partIds });
  return whole.id;
}

function nameOf(file) {
  return file.name.slice(-255) || "requests.jsonl";
}
