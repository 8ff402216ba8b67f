/** Debian's chromium without a window, led through its DevTools protocol over a pipe: no port, and no package for it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
  readonly sessionId?: string;
}

type Settle = (message: Message) => void;

/** What the page looks like, and how it was looked at. */
export interface View {
  readonly scheme: "light" | "dark";
  readonly width: number;
  readonly height?: number;
}

const FLAGS = [
  ...["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio"],
  ...["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"],
  ...["--force-color-profile=srgb", "--remote-debugging-pipe"],
];

/** A browser with one page in it. */
export class Browser {
  /** Whatever the page asked of a network, and whatever it complained of. */
  readonly requests: string[] = [];
  readonly complaints: string[] = [];

  private readonly waiting = new Map<number, Settle>();
  private readonly events = new Map<string, Settle[]>();
  private session: string | undefined;
  private lastId = 0;
  private rest = "";

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    private readonly input: Writable,
    output: Readable,
  ) {
    output.setEncoding("utf8").on("data", (chunk: string) => this.read(chunk));
    child.once("exit", () => {
      for (const settle of this.waiting.values()) settle({ error: { message: "the browser has ended" } });
    });
  }

  static async start(): Promise<Browser> {
    const folder = mkdtempSync(join(tmpdir(), "oci-registry-gc-browser-"));
    const child = spawn("chromium", [...FLAGS, `--user-data-dir=${folder}`, "about:blank"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
      env: { ...process.env, HOME: folder },
    });
    const browser = new Browser(child, folder, child.stdio[3] as Writable, child.stdio[4] as Readable);
    const { targetId } = await browser.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await browser.send("Target.attachToTarget", { targetId, flatten: true });
    browser.session = sessionId as string;
    for (const domain of ["Page", "Network", "Log", "Runtime"]) await browser.send(`${domain}.enable`);
    return browser;
  }

  async close(): Promise<void> {
    const ended = this.child.exitCode === null ? once(this.child, "exit") : undefined;
    void this.send("Browser.close").catch(() => this.child.kill());
    await ended;
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Opens a file, and waits until it is loaded. */
  async open(url: string): Promise<void> {
    this.requests.length = 0;
    this.complaints.length = 0;
    const loaded = new Promise<void>((resolve) => this.events.set("Page.loadEventFired", [() => resolve()]));
    await this.send("Page.navigate", { url });
    await loaded;
  }

  /** What a script finds; it runs in the page, though the page's own would not. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true });
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { readonly value: T }).value;
  }

  /** Looks at the page this way from now on. */
  async look({ scheme, width, height = 900 }: View): Promise<void> {
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  }

  /** What is seen of the page, as a PNG. */
  async screenshot(): Promise<Buffer> {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data as string, "base64");
  }

  private async send(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.lastId;
    const answer = new Promise<Message>((resolve) => this.waiting.set(id, resolve));
    const session = this.session === undefined ? {} : { sessionId: this.session };
    this.input.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    const { result, error } = await answer;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  private read(chunk: string): void {
    const texts = (this.rest + chunk).split("\0");
    this.rest = texts.pop() ?? "";
    for (const text of texts) this.take(JSON.parse(text) as Message);
  }

  private take(message: Message): void {
    const { id, method = "", params = {} } = message;
    if (id !== undefined) {
      this.waiting.get(id)?.(message);
      this.waiting.delete(id);
      return;
    }
    if (method === "Network.requestWillBeSent") this.requests.push((params["request"] as { readonly url: string }).url);
    if (["Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"].includes(method)) {
      this.complaints.push(`${method} ${JSON.stringify(params)}`);
    }
    for (const settle of this.events.get(method) ?? []) settle(message);
  }
}
