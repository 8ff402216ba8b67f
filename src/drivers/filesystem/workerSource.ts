/**
 * What a thread of {@link FileWorkers} runs: plain JavaScript in a string, so that it is the same from ESM, from CommonJS, from
 * TypeScript run as it is, and from any bundle. It does synchronously what it is told, path by path, and answers a whole message
 * at once. It judges no error: what it can't do is marked, and asked for again by the driver's own single calls.
 */
export const WORKER_SOURCE = `
"use strict";
const fs = require("node:fs");
const { parentPort, workerData } = require("node:worker_threads");
const { root } = workerData;
// A pipe that nobody writes to must not hold the thread.
const READ = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK || 0);
const PAGE = 1000;
/** Bytes that visits of one message read, and that they answer: nobody is to hold more, or to wait for it. */
const MOST_TOGETHER = 8388608;
/** What is read, and what is answered. */
let [buffer, answer] = [Buffer.allocUnsafeSlow(65536), Buffer.allocUnsafeSlow(65536)];
const visitors = new Map();

/** [kind, size, time] each; kind 0: not looked at, 1: file, 2: directory. */
function stat(files) {
  const facts = new Float64Array(files.length * 3);
  files.forEach((file, i) => {
    try {
      const stats = fs.lstatSync(file, { throwIfNoEntry: false });
      if (stats === undefined || stats.isSymbolicLink()) return;
      facts[i * 3] = stats.isDirectory() ? 2 : 1;
      facts[i * 3 + 1] = stats.size;
      facts[i * 3 + 2] = Math.round(stats.mtimeMs);
    } catch {}
  });
  return { value: facts, transfer: [facts.buffer] };
}

/** What a function makes of each path; nothing of those behind many large files or answers, nor once it is stopped. */
function visit(paths, number, text, stop) {
  const calls = new Uint32Array(3);
  let [read, made] = [0, 0];
  const begin = (call) => {
    if (Atomics.load(stop, 0) !== 0) throw new Error("stopped");
    calls[call]++;
  };
  const files = {
    stat(path) {
      begin(0);
      const stats = fs.lstatSync(root + path, { throwIfNoEntry: false });
      if (stats?.isSymbolicLink()) throw new Error("another path leads there");
      return stats;
    },
    list(path) {
      begin(1);
      return fs.readdirSync(root + path, { withFileTypes: true });
    },
    read: (path, limit) => take(path, limit, false),
    readOnce: (path, limit) => take(path, limit, true),
  };
  const take = (path, limit, once) => {
    if (read > MOST_TOGETHER) throw new Error("no more together");
    begin(2);
    const content = contentOf(root + path, limit, once);
    read += content.length;
    return content;
  };
  const { value, transfer } = contents(paths, (path) => {
    if (made > MOST_TOGETHER) throw new Error("no more together");
    const answer = visitorOf(number, text)(files, path);
    made += answer.length;
    return answer;
  });
  return { value: { ...value, calls }, transfer };
}

/** The function of a text. Made anew for each message it would lose all that was learnt and optimized of it. */
function visitorOf(number, text) {
  let visitor = visitors.get(number);
  if (visitor === undefined) {
    visitor = (0, eval)(text)(require("node:crypto"));
    if (visitors.size > 16) visitors.clear();
    visitors.set(number, visitor);
  }
  return visitor;
}

/** What is made of each one after the other, and the length of it; -1: nothing. */
function contents(files, take) {
  const lengths = new Int32Array(files.length);
  let end = 0;
  files.forEach((file, i) => {
    try {
      const content = take(file);
      lengths[i] = content.length;
      if (end + content.length > answer.length) answer = Buffer.concat([answer.subarray(0, end)], (end + content.length) * 2);
      answer.set(content, end);
      end += content.length;
    } catch {
      lengths[i] = -1;
    }
  });
  const bytes = new Uint8Array(end);
  bytes.set(answer.subarray(0, end));
  if (answer.length > 4194304) answer = Buffer.allocUnsafeSlow(65536);
  if (buffer.length > 4194304) buffer = Buffer.allocUnsafeSlow(65536);
  return { value: { bytes, lengths }, transfer: [bytes.buffer, lengths.buffer] };
}

/**
 * Reads until nothing comes any more, or the limit is reached: a size that is told beforehand may be another by then. Once: only as long
 * as all comes that there is room for.
 */
function contentOf(file, limit, once) {
  const handle = fs.openSync(file, READ);
  try {
    let length = 0;
    while (length < limit) {
      if (length === buffer.length) buffer = Buffer.concat([buffer], buffer.length * 2);
      const room = Math.min(limit, buffer.length) - length;
      const count = fs.readSync(handle, buffer, length, room, null);
      length += count;
      if (count === 0 || (once && count < room)) break;
    }
    return buffer.subarray(0, length);
  } finally {
    fs.closeSync(handle);
  }
}

/** For each directory its pages: names with a slash between them, and a digit for the type of each; null: not listed. */
function list(files) {
  const value = files.map((file) => {
    try {
      const entries = fs.readdirSync(file, { withFileTypes: true });
      const pages = [];
      for (let start = 0; start < entries.length; start += PAGE) {
        const page = entries.slice(start, start + PAGE);
        const types = page.map((entry) => (entry.isDirectory() ? "1" : entry.isSymbolicLink() ? "2" : "0"));
        pages.push({ names: page.map((entry) => entry.name).join("/"), types: types.join("") });
      }
      return pages;
    } catch {
      return null;
    }
  });
  return { value };
}

/** 1: it was removed; 0: it may be there still. */
function unlink(files) {
  const done = new Uint8Array(files.length);
  files.forEach((file, i) => {
    try {
      fs.unlinkSync(file);
      done[i] = 1;
    } catch {}
  });
  return { value: done, transfer: [done.buffer] };
}

/** 1: there is no such directory any more; 2: it stays, since something is in it, or it is none; 0: neither is sure. */
function rmdir(files) {
  const done = new Uint8Array(files.length);
  files.forEach((file, i) => {
    try {
      fs.rmdirSync(file);
      done[i] = 1;
    } catch ({ code }) {
      done[i] = code === "ENOENT" ? 1 : code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR" ? 2 : 0;
    }
  });
  return { value: done, transfer: [done.buffer] };
}

const onDisk = (task) => (paths, ...rest) => task(paths.map((path) => root + path), ...rest);
const tasks = { stat: onDisk(stat), visit, list: onDisk(list), unlink: onDisk(unlink), rmdir: onDisk(rmdir) };

parentPort.on("message", ({ id, task, paths, details }) => {
  const { value, transfer = [] } = tasks[task](paths.split("\\n"), ...details);
  parentPort.postMessage({ id, value }, transfer);
});
`;
