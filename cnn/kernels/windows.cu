// What im2col.py and pool.py do, a launch each, for windows of any size, stride, padding and dilation. Images and
// outputs are (N, C, ...) in this order in memory, columns (C·KH·KW, N·OH·OW); float32. A number has one thread, which
// adds in the order of the window's places: the same order as on NumPy, and the same bits.

// As `windows.Windows`, on the device: one pointer costs the host less than twelve numbers.
struct Windows { int H, W, KH, KW, down, across, above, left, dy, dx, OH, OW; };

__device__ inline int number() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Where in memory the window (oh, ow) sees an image through its place (i, j), or -1 in the padding.
__device__ inline int seen(const Windows& w, int oh, int ow, int i, int j) {
  const int y = oh * w.down + i * w.dy - w.above, x = ow * w.across + j * w.dx - w.left;
  return y < 0 || y >= w.H || x < 0 || x >= w.W ? -1 : y * w.W + x;
}

// Which window sees row (or column) `at` through place `k`, or -1.
__device__ inline int seer(int at, int k, int before, int spread, int step, int windows) {
  const int from = at + before - k * spread, which = from / step;
  return from < 0 || which * step != from || which >= windows ? -1 : which;
}

extern "C" __global__ void windows_columns(const float* x, const Windows* at, int N, int C, float value, float* cols) {
  const Windows w = *at;
  const int e = number(), P = w.OH * w.OW, all = N * P;
  if (e >= C * all) return;
  const int c = e / all, k = e % all, n = k / P, oh = k % P / w.OW, ow = k % w.OW;
  const float* image = x + (n * C + c) * w.H * w.W;
  float* to = cols + (size_t)c * w.KH * w.KW * all + k;
  for (int i = 0; i < w.KH; i++)
    for (int j = 0; j < w.KW; j++, to += all) {
      const int from = seen(w, oh, ow, i, j);
      *to = from < 0 ? value : image[from];
    }
}

extern "C" __global__ void windows_images(const float* cols, const Windows* at, int N, int C, float* x) {
  const Windows w = *at;
  const int e = number(), H = w.H, W = w.W, P = w.OH * w.OW, all = N * P;
  if (e >= N * C * H * W) return;
  const int n = e / (C * H * W), c = e / (H * W) % C, y = e / W % H, z = e % W;
  const float* from = cols + (size_t)c * w.KH * w.KW * all + n * P;
  float sum = 0.f;
  for (int i = 0; i < w.KH; i++) {
    const int oh = seer(y, i, w.above, w.dy, w.down, w.OH);
    for (int j = 0; oh >= 0 && j < w.KW; j++) {
      const int ow = seer(z, j, w.left, w.dx, w.across, w.OW);
      if (ow >= 0) sum += from[(size_t)(i * w.KW + j) * all + oh * w.OW + ow];
    }
  }
  x[e] = sum;
}

// The largest number of each window, and its place, the first of several; a NaN is the largest, its place 0. Places are
// (C, N, OH, OW).
extern "C" __global__ void windows_pool(const float* x, const Windows* at, int N, int C, float* y, int* places) {
  const Windows w = *at;
  const int e = number(), P = w.OH * w.OW;
  if (e >= N * C * P) return;
  const int n = e / (C * P), c = e / P % C, p = e % P, oh = p / w.OW, ow = p % w.OW;
  const float* image = x + (n * C + c) * w.H * w.W;
  const float least = __uint_as_float(0xff800000u);  // -inf, as the padding holds
  float best = least;
  int place = 0;
  for (int i = 0; i < w.KH; i++)
    for (int j = 0; j < w.KW; j++) {
      const int from = seen(w, oh, ow, i, j);
      const float v = from < 0 ? least : image[from];
      if (v > best || v != v) best = v, place = i * w.KW + j;
    }
  y[e] = best;
  places[(c * N + n) * P + p] = best != best ? 0 : place;
}

// Back, for windows without dilation: each number looks at the windows that see it, the last one first, as their first
// places do.
extern "C" __global__ void windows_unpool(const float* dy, const int* places, const Windows* at, int N, int C,
                                          float* dx) {
  const Windows w = *at;
  const int e = number(), H = w.H, W = w.W, P = w.OH * w.OW;
  if (e >= N * C * H * W) return;
  const int row = e / W, plane = row / H, n = plane / C, c = plane - n * C;
  const int y = row - plane * H + w.above, z = e - row * W + w.left;
  const float* from = dy + plane * P;
  const int* place = places + (c * N + n) * P;
  float sum = 0.f;
  for (int oh = min(y / w.down, w.OH - 1); oh >= 0 && y - oh * w.down < w.KH; oh--)
    for (int ow = min(z / w.across, w.OW - 1); ow >= 0 && z - ow * w.across < w.KW; ow--) {
      const int o = oh * w.OW + ow;
      if (place[o] == (y - oh * w.down) * w.KW + z - ow * w.across) sum += from[o];
    }
  dx[e] = sum;
}
