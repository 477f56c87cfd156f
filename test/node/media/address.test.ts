import { expect, test } from "vitest";
import { authorization, parseAddress } from "../../../src/node/media/address.js";

// The example of RFC 2617 §3.5; without "qop" worked out by md5sum.
test("a Digest is that of the standard", () => {
  const login = { user: "Mufasa", password: "Circle Of Life" };
  const challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"';
  expect(authorization(login, challenge, "GET", "/dir/index.html")).toContain(
    'response="670fd8c2df070c60b045671b8b24ff02", opaque="5ccc"',
  );
  expect(authorization(login, "Negotiate", "GET", "/")).toBeUndefined();
});

test("an address is shown without name, password, query and fragment", () => {
  const { url, shown, login } = parseAddress("rtsp://a%40b:p%3Aw@cam:8554/live/1?token=x#y");
  expect(shown).toBe("rtsp://cam:8554/live/1?…");
  expect(url.href).toBe("rtsp://cam:8554/live/1?token=x");
  expect(login).toEqual({ user: "a@b", password: "p:w" });
});
