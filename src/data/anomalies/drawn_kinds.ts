// The kinds of objects that are drawn as pseudo-anomalies.

/** Kinds of objects that training draws. */
export const trainingObjects = ["vehicle", "cyclist", "box", "disc", "shape", "stretched", "group"] as const;
/** Kinds of objects that validation draws: none of those of training. */
export const validationObjects = ["trolley", "scooter", "animal", "pole", "crouched"] as const;
/** A kind of drawn object. */
export type DrawnKind = (typeof trainingObjects)[number] | (typeof validationObjects)[number];
