// What this device is called in the list of logins, as far as a browser tells.

const BROWSERS = [
  [/\bEdg\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bFirefox\//, "Firefox"],
  [/Chrome\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS = [
  [/\biPhone\b/, "iPhone"],
  [/\biPad\b/, "iPad"],
  [/\bAndroid\b/, "Android"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b/, "Mac"],
  [/\bLinux\b/, "Linux"],
];

const first = (names) => names.find(([pattern]) => pattern.test(navigator.userAgent))?.[1];

export const deviceName = () => [first(BROWSERS) ?? "Browser", first(SYSTEMS)].filter(Boolean).join(" on ");
