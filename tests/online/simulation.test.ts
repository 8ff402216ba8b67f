/** A collector among clients, interleaved at every call. SCHEDULES says how many schedules for each degree of safety. */

import { markAndSweep } from "oci-registry-gc";
import { describeSchedules } from "./simulator/schedules.js";

describeSchedules({ collect: markAndSweep, schedules: Number(process.env["SCHEDULES"] ?? 2000), calls: 250 });
