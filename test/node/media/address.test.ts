import { expect, test } from "vitest";
import { authorization, parseAddress } from "../../../src/node/media/address.js";
import { openInput } from "../../../src/node/media/open.js";
import { refusal } from "../../support/refusal.js";

// Examples of RFC 2617 §3.5 and RFC 7616 §3.9.1; without "qop" worked out by md5sum and sha256sum.
test("a Digest is that of the standards", () => {
  const login = { user: "Mufasa", password: "Circle Of Life" };
  const challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"';
  expect(authorization(login, challenge, "GET", "/dir/index.html")).toContain(
    'response="670fd8c2df070c60b045671b8b24ff02", opaque="5ccc"',
  );
  const unknown = `Digest realm="r", nonce="n", algorithm=SHA-512-256`;
  const newer = 'Digest realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv", algorithm=SHA-256';
  const person = { user: "Mufasa", password: "Circle of Life" };
  expect(authorization(person, `${unknown}, ${newer}, ${challenge}`, "GET", "/dir/index.html")).toContain(
    'response="eac5c5d423bd0b3d90b6a5555ebd00069d64f93e274452ec2413dc205e96ad58", algorithm=SHA-256',
  );
  expect(authorization(login, "Negotiate", "GET", "/")).toBeUndefined();
  expect(authorization(login, unknown, "GET", "/")).toBeUndefined();
});

test("an address is shown without name, password, query and fragment", () => {
  const { url, shown, login } = parseAddress("rtsp://a%40b:p%3Aw@cam:8554/live/1?token=x#y");
  expect(shown).toBe("rtsp://cam:8554/live/1?…");
  expect(url.href).toBe("rtsp://cam:8554/live/1?token=x");
  expect(login).toEqual({ user: "a@b", password: "p:w" });
});

test("another scheme is refused by its name, without what follows", async () => {
  for (const scheme of ["ftp", "htp", "file"]) {
    expect(await refusal(openInput(`${scheme}://user:secret@host/a.mp4`))).toBe(
      `${scheme}://… cannot be read: addresses begin with http, https, rtsp or rtsps`,
    );
  }
  expect(await refusal(openInput("none/a.mp4"))).toContain("none/a.mp4 cannot be read: no such file");
});
