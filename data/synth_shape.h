/* synth_shape.h - signed distances (negative inside) of the shapes of the synthetic set, in units
 * in which a shape fits into the disc of radius 1; y points down. */
#ifndef FV_DATA_SYNTH_SHAPE_H
#define FV_DATA_SYNTH_SHAPE_H

typedef struct fv_point {
    float x, y;
} fv_point;

typedef struct fv_synth_shape {
    const char *name;
    float (*distance)(fv_point p);
} fv_synth_shape;

/* FV_SYNTH_MAX_CLASSES of them, the label is the index. */
extern const fv_synth_shape fv_synth_shapes[];

/* Of a simple polygon; after Inigo Quilez, "2D distance functions". */
float fv_polygon_distance(const fv_point *vertex, int n, fv_point p);

/* Of the segment a b. */
float fv_segment_distance(fv_point a, fv_point b, fv_point p);

#endif
