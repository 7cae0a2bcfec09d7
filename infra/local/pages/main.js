// Starts the client: which address shows which view. Each view is loaded when it is first asked for.

import { renderNavigation } from "./navigation.js";
import { route, start } from "./router.js";
import { onSessionChange } from "./session.js";

route("/", () => import("./views/catalogue.js"));
route("/watch/:id", () => import("./views/watch.js"));
route("/plans", () => import("./views/plans.js"));
route("/sign-in", () => import("./views/sign-in.js"));
route("/join", () => import("./views/join.js"));
route("/verify-email", () => import("./views/verify-email.js"));
route("/reset-password", () => import("./views/reset-password.js"));
route("/me", () => import("./views/account.js"));
route("/admin", () => import("./views/admin.js"));
route("/checkout/success", () => import("./views/checkout-success.js"));
route("/checkout/canceled", () => import("./views/checkout-canceled.js"));

onSessionChange(renderNavigation);
await start(renderNavigation);
