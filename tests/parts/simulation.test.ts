/**
 * A run in parts among clients, interleaved at every call of any of its workers. SCHEDULES says how many schedules for each degree of
 * safety, SEED where they begin, STRIDE how
 * far the places lie apart where one is cut: 1 tries all.
 */

import { describeSchedules } from "../online/simulator/schedules.js";
import { type Command } from "../online/simulator/simulation.js";
import { collectInProcess } from "./inProcess.js";

const collect: Command = (ctx, driver, _registry, options) => collectInProcess(driver, options ?? {}, { ctx, shards: 2 });

const schedules = Number(process.env["SCHEDULES"] ?? 40);
const stride = Number(process.env["STRIDE"] ?? 23);

describeSchedules({ collect, schedules, calls: 900, stride });
