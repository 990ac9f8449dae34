// A convolution whose filters have few numbers, C·KH·KW, without columns; one group, float32. Behind windows.cu.
// Constants: C KH KW.
constexpr int TAPS = C * KH * KW, DIRECT = 512;

// What the window (oh, ow) of an image sees, 0 in the padding; in the order of a filter's numbers.
__device__ inline void patch(const float* image, const Windows& w, int oh, int ow, float (&v)[TAPS]) {
#pragma unroll
  for (int k = 0; k < TAPS; k++) {
    const int from = seen(w, oh, ow, k / KW % KH, k % KW);
    v[k] = from < 0 ? 0.f : image[k / (KH * KW) * w.H * w.W + from];
  }
}

// Images (N, C, H, W) to outputs (N, M, OH, OW). A window has one thread, for all filters.
extern "C" __global__ void direct_out(const float* x, const Windows* at, const float* W, const float* b, int N, int M,
                                      int bent, float* y) {
  const Windows w = *at;
  const int e = number(), P = w.OH * w.OW;
  if (e >= N * P) return;
  const int n = e / P, p = e % P;
  float v[TAPS];
  patch(x + n * C * w.H * w.W, w, p / w.OW, p % w.OW, v);
  for (int m = 0; m < M; m++) {
    float sum = 0.f;
#pragma unroll
    for (int k = 0; k < TAPS; k++) sum += W[m * TAPS + k] * v[k];
    sum += b[m];
    y[(n * M + m) * P + p] = bent ? relu(sum) : sum;
  }
}

// Gradients by the outputs (N, M, OH, OW) to those by filters and biases, (M, C, KH, KW) and behind them (M,), of `slice`
// windows a block: a block a filter and slice, the slices' sums one after another.
extern "C" __global__ void __launch_bounds__(DIRECT)
direct_back(const float* dy, const float* y, const float* x, const Windows* at, int N, int M, int bent, int slice,
            float* sums) {
  const Windows w = *at;
  float* parts = (float*)SHARED;  // (TAPS + 1, warps)
  const int m = blockIdx.x % M, s = blockIdx.x / M, P = w.OH * w.OW, t = threadIdx.x;
  const int end = min(N * P, (s + 1) * slice);
  float sum[TAPS + 1] = {};
  for (int e = s * slice + t; e < end; e += DIRECT) {
    const int n = e / P, p = e % P, from = (n * M + m) * P + p;
    const float d = bent && !(y[from] > 0.f) ? 0.f : dy[from];
    float v[TAPS];
    patch(x + n * C * w.H * w.W, w, p / w.OW, p % w.OW, v);
#pragma unroll
    for (int k = 0; k < TAPS; k++) sum[k] += d * v[k];
    sum[TAPS] += d;
  }
#pragma unroll
  for (int k = 0; k <= TAPS; k++) {
    const float all = warp_sum(sum[k]);
    if (t % 32 == 0) parts[k * (DIRECT / 32) + t / 32] = all;
  }
  __syncthreads();
  if (t > TAPS) return;
  float all = 0.f;
  for (int k = 0; k < DIRECT / 32; k++) all += parts[t * (DIRECT / 32) + k];
  sums[s * M * (TAPS + 1) + (t < TAPS ? m * TAPS + t : M * TAPS + m)] = all;
}
