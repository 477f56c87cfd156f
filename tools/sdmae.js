#!/usr/bin/env node
// The command line: npx sdmae …
import { runCli } from "../dist/cli.js";

process.exitCode = await runCli(process.argv.slice(2));
