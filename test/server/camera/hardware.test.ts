import { expect, test } from "vitest";
import { HardwareDecoding } from "../../../src/server/camera/hardware.js";

function decoding(wanted: string) {
  const warnings: string[] = [];
  return { hardware: new HardwareDecoding(wanted, (line) => warnings.push(line)), warnings };
}

test("hardware that fails twice where the processor succeeds is given up", () => {
  const { hardware, warnings } = decoding("vaapi");
  expect(hardware.setting).toBe("vaapi");
  hardware.failed("no device");
  expect(hardware.setting).toBe("off");
  hardware.works();
  // The next connection.
  expect(hardware.setting).toBe("vaapi");
  hardware.failed("no device");
  hardware.works();
  expect(hardware.setting).toBe("off");
  hardware.failed("the camera is away");
  expect(hardware.setting).toBe("off");
  expect(warnings).toEqual([
    "decoding by hardware (vaapi) has failed, the processor decodes until the next connection: no device",
    "decoding by hardware (vaapi) has failed, it is given up: no device",
  ]);
});

test("a camera that is away does not lose its hardware", () => {
  const { hardware, warnings } = decoding("auto");
  for (let i = 0; i < 100; i++) {
    expect(hardware.setting).toBe(i % 2 === 0 ? "auto" : "off");
    hardware.failed("it cannot be reached");
  }
  // It comes back just when the processor's turn is, which is no proof.
  hardware.failed("it cannot be reached");
  hardware.works();
  expect(hardware.setting).toBe("auto");
  hardware.works();
  hardware.failed("it cannot be reached");
  hardware.works();
  expect(hardware.setting).toBe("auto");
  expect(warnings).toHaveLength(2);
  expect(warnings.join()).not.toContain("given up");
});

test("without hardware nothing changes", () => {
  const { hardware, warnings } = decoding("off");
  hardware.failed("it cannot be reached");
  hardware.works();
  expect(hardware.setting).toBe("off");
  expect(warnings).toEqual([]);
});
