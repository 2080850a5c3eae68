/** Network functions and the plane that chains them. */
export type { FunctionKind } from "./kind.ts";
export { FUNCTION_KINDS } from "./kinds.ts";
export { type BuiltPlane, buildPlane } from "./plane/build.ts";
export type { PlaneLayout } from "./plane/layout.ts";
export { PlaneError, parsePlane } from "./plane/parse.ts";
export { type Adopted, type Plane, startPlane } from "./plane/plane.ts";
export type { Count, FunctionReport, InterfaceReport, PlaneReport } from "./plane/report.ts";
export { deviceOf, type PlaneSpec, planeJsonSchema } from "./plane/schema.ts";
