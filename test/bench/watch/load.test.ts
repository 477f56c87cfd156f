import { test } from "vitest";
import { runBenchmark } from "../../../src/bench/index.js";
import { captured, expectRefusal } from "../../support/cli.js";
import { scratch } from "../../support/folders.js";

const at = scratch();
const watch = (...args: string[]) => captured(() => runBenchmark("watch", args));

test("numbers of cameras and files that cannot be are refused before anything is drawn", async () => {
  expectRefusal(await watch("--cameras", "1,0"), "--cameras");
  expectRefusal(await watch("--cameras", "21"), "--cameras");
  expectRefusal(await watch("--fps", "0"), "--fps");
  expectRefusal(await watch("--out", at("watch.png")), "must be named *.html");
  expectRefusal(await watch("--json", at("none", "watch.json")), "there is no folder");
});
