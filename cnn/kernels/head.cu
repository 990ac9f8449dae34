// The end of a net, a dense layer with ReLU and an output layer with softmax and cross entropy, from the dense layer's
// sums in SLICES parts, (image, part, unit). One image a block: the sums, dropout, the outputs, the loss, and the
// gradients by both layers' sums. The batch's `images` are places in the data; those of the next step are put into
// `next`, so that its kernels find them without looking up where they stand.
//
// Constants: HID CLS SLICES, HEAD THREADS (of a block), LAYERS (that learn: the last two are these).
extern "C" __global__ void __launch_bounds__(HEAD)
net_head(const float* parts, const float* b1, const float* W2, const float* b2, const float* targets,
             const int* images, const int* orders, const int* step, int offset, int batch, int* next, int n,
             float smoothing, u32 seed, u32 below, float scale, float* hidden, float* dz2, float* dz1, float* loss) {
  float* shared = (float*)SHARED;
  constexpr int GROUPS = HEAD / HID, WARPS = HEAD / 32, WEIGHTS = (HID * CLS + HEAD - 1) / HEAD;
  float *red = shared, *hs = red + GROUPS * HID, *zs = hs + HID, *ds = zs + CLS, *ws = ds + CLS;
  const int i = blockIdx.x, t = threadIdx.x, j = t % HID, g = t / HID, lane = t % 32;

  // All that comes from memory is on its way before the first of it is used.
  const int first = step[0] + offset, image = images[i];
  float w[WEIGHTS];
#pragma unroll
  for (int k = 0; k < WEIGHTS; k++) w[k] = t + k * HEAD < HID * CLS ? W2[t + k * HEAD] : 0.f;
  const float bias = t < HID ? b1[t] : 0.f, own = t < CLS ? b2[t] : 0.f;
  follow();
  if (g < GROUPS) {
    constexpr int EACH = (SLICES + GROUPS - 1) / GROUPS, BATCH = EACH < 20 ? EACH : 16;
    float sum = 0.f;
    for (int from = g; from < SLICES; from += BATCH * GROUPS) {
      float held[BATCH];
#pragma unroll
      for (int k = 0; k < BATCH; k++) {
        int s = from + k * GROUPS;
        held[k] = s < SLICES ? parts[((size_t)i * SLICES + s) * HID + j] : 0.f;
      }
#pragma unroll
      for (int k = 0; k < BATCH; k++) sum += held[k];
    }
    red[t] = sum;
  }
  float target = t < CLS ? targets[(size_t)image * CLS + t] : 0.f;
  const int* order = orders + (size_t)(first + 1) * batch;
  const int upcoming = i == 0 && t < batch ? order[t] : 0;
#pragma unroll
  for (int k = 0; k < WEIGHTS; k++)
    if (t + k * HEAD < HID * CLS) ws[t + k * HEAD] = w[k];
  __syncthreads();
  if (t < HID) {
    float z = bias;
#pragma unroll
    for (int k = 0; k < GROUPS; k++) z += red[k * HID + t];
    const Dropout dropout{seed, u32(step[1] + first), below, scale};
    hs[t] = hidden[i * HID + t] = dropout.drops(i * HID + t) ? 0.f : relu(z) * scale;
  }
  __syncthreads();
  for (int c = t / 32; c < CLS; c += WARPS) {
    float sum = 0.f;
#pragma unroll
    for (int k = 0; k < HID; k += 32) sum += k + lane < HID ? hs[k + lane] * ws[(k + lane) * CLS + c] : 0.f;
    sum = warp_sum(sum);
    if (lane == 0) zs[c] = sum;
  }
  __syncthreads();
  if (t < 32) {
    const bool there = lane < CLS;
    float z = there ? zs[lane] + own : -3.4e38f;
    float shifted = z - warp_max(z), e = there ? expf(shifted) : 0.f, all = warp_sum(e);
    if (smoothing > 0.f && there) target = (1.f - smoothing) * target + smoothing / CLS;
    float nats = warp_sum(there ? target * (logf(all) - shifted) : 0.f);
    if (there) ds[lane] = dz2[i * CLS + lane] = (e / all - target) / n;
    if (lane == 0) loss[i] = nats;
  }
  __syncthreads();
  if (t < HID) {
    float sum = 0.f;
#pragma unroll
    for (int c = 0; c < CLS; c++) sum += ds[c] * ws[t * CLS + c];
    dz1[i * HID + t] = hs[t] <= 0.f ? 0.f : sum * scale;
  }
  if (i == 0)
    for (int k = t; k < batch; k += HEAD) next[k] = k == t ? upcoming : order[k];
}

// What is learned besides the dense weights and the filters: (hidden, class) weights, class biases, hidden biases.
constexpr int REST = HID * CLS + CLS + HID;
constexpr int REST_A_BLOCK = THREADS / 4;

// PARTS threads share the images for one of them, THREADS / PARTS are learned by a block.
template <int PARTS = 4>
__device__ void learn_rest(int block, int n, const float* hidden, const float* dz2, const float* dz1,
                           const float* rates, float* W2, float* mW2, float* vW2, float* b2, float* mb2, float* vb2,
                           float* b1, float* mb1, float* vb1) {
  float* red = (float*)SHARED;
  constexpr int ALONE = THREADS / PARTS;
  const int t = threadIdx.x, e = block * ALONE + t % ALONE, part = t / ALONE;
  const int j = e / CLS, c = e % CLS, o = e - HID * CLS;
  float sum = 0.f;
  if (e < REST)
#pragma unroll 8
    for (int i = part; i < n; i += PARTS)
      sum += o < 0 ? hidden[i * HID + j] * dz2[i * CLS + c] : o < CLS ? dz2[i * CLS + o] : dz1[i * HID + o - CLS];
  red[t] = sum;
  __syncthreads();
  if (part == 0 && e < REST) {
    for (int k = 1; k < PARTS; k++) sum += red[k * ALONE + t];
    if (o < 0)
      Adam(rates + (LAYERS - 1) * NUMBERS).step(sum, W2[e], mW2[e], vW2[e]);
    else if (o < CLS)
      Adam(rates + (LAYERS - 1) * NUMBERS).step(sum, b2[o], mb2[o], vb2[o]);
    else
      Adam(rates + (LAYERS - 2) * NUMBERS).step(sum, b1[o - CLS], mb1[o - CLS], vb1[o - CLS]);
  }
}

// Behind the steps of a graph: the next graph goes on where this one ended.
extern "C" __global__ void net_advance(int* step, int steps, const int* orders, int batch, int* next) {
  const int now = *step + steps;
  for (int k = threadIdx.x; k < batch; k += blockDim.x) next[k] = orders[(size_t)now * batch + k];
  __syncthreads();
  if (threadIdx.x == 0) *step = now;
}
