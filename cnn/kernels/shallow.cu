// A training step of a net of four layers, in three kernels: a convolution (stride 1) with ReLU, a max pooling whose
// windows lie beside each other, a dense layer with ReLU, and an output layer with softmax and cross entropy.
//
// A slice is one row of pooled pixels of one filter. The pixels of a slice feed QW rows of the dense layer's weights,
// and one block owns both, forward and backward: it gathers the few rows of the images that its slice needs, and the
// dense layer's sums are cut along their length, one part a slice. No im2col, no gradient by the pooled image, and no
// gradient of the dense weights ever lies in memory: Adam's step is where the gradient is made.
//
// Constants: C H W (an image), M KH KW PADY PADX (the convolution), P (pool), QH QW (pooled image), HID CLS (dense and
// output), SLICES (M · QH), TN (images in a tile), and those of head.cu.

constexpr int ROWS = P + KH - 1, COLS = P * QW + KW - 1;  // of an image, for a slice
constexpr int IMAGE = C * ROWS * COLS;
constexpr int TAPS = C * KH * KW;
constexpr int QT = 8;                        // pooled pixels that one thread works on
constexpr int QP = round_up(QW, QT);         // row of pooled pixels in memory
constexpr int QS = QP + 4;                   // row in shared memory: 16-byte reads, few bank conflicts
constexpr int QTILES = QP / QT;
constexpr int JP = (HID + 1) / 2;            // pairs of hidden units: j and j + JP
constexpr int HP = 2 * JP + 1;               // odd: no bank conflicts from image to image
constexpr int NJ = THREADS / (TN * QTILES);  // parts of the sum over hidden units
constexpr int NG = THREADS / (JP * QTILES);  // parts of the sum over images
constexpr int WPT = (QW * HID + THREADS - 1) / THREADS;  // dense weights a thread
constexpr int SCRATCH = larger(TN * IMAGE + TN * HP + 3 + NJ * TN * QS, NG * QP * HID);
static_assert(NJ > 0 && NG > 0 && THREADS >= HID, "a block has too few threads");

// The rows of `count` images that the slice in pooled row r sees, zeros where there is no image.
__device__ void gather(float* xs, const float* x, const int* order, int count, int r) {
  for (int e = threadIdx.x; e < count * IMAGE; e += THREADS) {
    int i = e / IMAGE, rest = e % IMAGE, c = rest / (ROWS * COLS);
    int y = P * r + rest / COLS % ROWS - PADY, col = rest % COLS - PADX;
    bool inside = y >= 0 && y < H && col >= 0 && col < W;
    xs[e] = inside ? x[(((size_t)order[i] * C + c) * H + y) * W + col] : 0.f;
  }
}

// The first largest of the convolution's sums in a pooling window, and its place.
__device__ inline float window(const float* xs, const float* filter, float bias, int q, int& place) {
  float z[P * P];
#pragma unroll
  for (int k = 0; k < P * P; k++) z[k] = bias;
#pragma unroll
  for (int c = 0; c < C; c++) {
    float patch[P + KH - 1][P + KW - 1];
#pragma unroll
    for (int y = 0; y < P + KH - 1; y++)
#pragma unroll
      for (int col = 0; col < P + KW - 1; col++) patch[y][col] = xs[(c * ROWS + y) * COLS + P * q + col];
#pragma unroll
    for (int ky = 0; ky < KH; ky++)
#pragma unroll
      for (int kx = 0; kx < KW; kx++) {
        float w = filter[(c * KH + ky) * KW + kx];
#pragma unroll
        for (int k = 0; k < P * P; k++) z[k] += w * patch[k / P + ky][k % P + kx];
      }
  }
  float best = z[0];
  place = 0;
#pragma unroll
  for (int k = 1; k < P * P; k++)
    if (z[k] > best || (z[k] != z[k] && best == best)) {
      best = z[k];
      place = k;
    }
  return best;
}

constexpr u8 NOWHERE = 255;  // the place of a window whose largest value ReLU cuts off

extern "C" __global__ void __launch_bounds__(THREADS)
shallow_forward(const float* x, const int* orders, const int* step, int offset, int batch, int n, const float* filters,
                const float* biases, const float* dense, float* pooled, u8* places, float* parts) {
  float* shared = (float*)SHARED;
  float *xs = shared, *ps = xs + round_up(TN * IMAGE, 4), *filter = ps + TN * QP;
  const int slice = blockIdx.x, t = threadIdx.x, j = t % HID, g = t / HID;
  constexpr int GROUPS = THREADS / HID;
  const int* order = orders + (size_t)(*step + offset) * batch;
  float w[QP];  // the dense weights of this slice's pixels to hidden unit j
#pragma unroll
  for (int q = 0; q < QP; q++) w[q] = q < QW && g < GROUPS ? dense[(size_t)(slice * QW + q) * HID + j] : 0.f;
  for (int e = t; e < TAPS; e += THREADS) filter[e] = filters[slice / QH * TAPS + e];
  const float bias = biases[slice / QH];
  for (int first = 0; first < n; first += TN) {
    const int count = min(TN, n - first);
    gather(xs, x, order + first, count, slice % QH);
    __syncthreads();
    for (int e = t; e < count * QP; e += THREADS) {
      int i = e / QP, q = e % QP, place = NOWHERE;
      float best = q < QW ? window(xs + i * IMAGE, filter, bias, q, place) : 0.f;
      float value = relu(best);
      size_t at = ((size_t)slice * batch + first) * QP + e;
      ps[e] = pooled[at] = value;
      places[at] = best <= 0.f ? NOWHERE : place;
    }
    __syncthreads();
    for (int i = g; g < GROUPS && i < count; i += GROUPS) {
      float sum = 0.f;
#pragma unroll
      for (int q = 0; q < QP; q += 4) {
        float4 p = *(const float4*)(ps + i * QP + q);
        sum += p.x * w[q] + p.y * w[q + 1] + p.z * w[q + 2] + p.w * w[q + 3];
      }
      parts[((size_t)(first + i) * SLICES + slice) * HID + j] = sum;
    }
    __syncthreads();
  }
}

// The filters' gradients are sums over a filter's slices: the last of its blocks adds them up, in their order.
__device__ void learn_filter(int m, const float* sums, const float* rates, float* filters, float* mf, float* vf,
                             float* biases, float* mb, float* vb) {
  const int t = threadIdx.x;
  if (t > TAPS) return;
  float g = 0.f;
  for (int r = 0; r < QH; r++) g += __ldcg(sums + (m * QH + r) * (TAPS + 1) + t);
  const int at = m * TAPS + t;
  if (t < TAPS)
    Adam(rates).step(g, filters[at], mf[at], vf[at]);
  else
    Adam(rates).step(g, biases[m], mb[m], vb[m]);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
shallow_backward(const float* x, const int* orders, const int* step, int offset, int batch, int n, const float* table,
                 const float* pooled, const u8* places, const float* hidden, const float* dz2, const float* dz1,
                 float* sums, u32* arrived, float* filters, float* mf, float* vf, float* biases, float* mb, float* vb,
                 float* dense, float* md, float* vd, float* b1, float* mb1, float* vb1, float* W2, float* mW2,
                 float* vW2, float* b2, float* mb2, float* vb2) {
  const int now = *step + offset;
  const float* rates = table + (size_t)now * LAYERS * NUMBERS;
  if (blockIdx.x >= SLICES) {
    learn_rest(blockIdx.x - SLICES, n, hidden, dz2, dz1, rates, W2, mW2, vW2, b2, mb2, vb2, b1, mb1, vb1);
    return;
  }
  float* scratch = (float*)SHARED;
  float *xs = scratch, *dzs = xs + TN * IMAGE, *red = scratch + round_up(TN * IMAGE + TN * HP, 4);
  float *ps = scratch + round_up(SCRATCH, 4), *ws = ps + TN * QP;
  const int slice = blockIdx.x, t = threadIdx.x;
  const int* order = orders + (size_t)now * batch;

  const size_t base = (size_t)slice * QW * HID;  // of the slice's weights, which lie there as (q, j)
  for (int e = t; e < QW * HID; e += THREADS) ws[e % HID * QS + e / HID] = dense[base + e];
  for (int e = t; e < HID * (QP - QW); e += THREADS) ws[e / (QP - QW) * QS + QW + e % (QP - QW)] = 0.f;

  // Who does what: in the weights' gradient a pair of hidden units, QT pixels and a part of the images;
  // in the pixels' gradient an image, QT pixels and a part of the hidden units.
  const int jp = t % JP, qt = t / JP % QTILES, part = t / (JP * QTILES);
  const int i2 = t % TN, qt2 = t / TN % QTILES, part2 = t / (TN * QTILES);
  float dw[2][QT] = {}, taps[TAPS + 1] = {};
  for (int first = 0; first < n; first += TN) {
    const int count = min(TN, n - first);
    gather(xs, x, order + first, count, slice % QH);
    for (int e = t; e < count * HID; e += THREADS) dzs[e / HID * HP + e % HID] = dz1[first * HID + e];
    if (2 * JP > HID)
      for (int i = t; i < count; i += THREADS) dzs[i * HP + HID] = 0.f;
    for (int e = t; e < count * QP; e += THREADS) ps[e] = pooled[((size_t)slice * batch + first) * QP + e];
    __syncthreads();
    if (part < NG)
      for (int i = part; i < count; i += NG) {
        float d0 = dzs[i * HP + jp], d1 = dzs[i * HP + jp + JP];
#pragma unroll
        for (int q = 0; q < QT; q += 4) {
          float4 p = *(const float4*)(ps + i * QP + qt * QT + q);
          dw[0][q] += d0 * p.x, dw[0][q + 1] += d0 * p.y, dw[0][q + 2] += d0 * p.z, dw[0][q + 3] += d0 * p.w;
          dw[1][q] += d1 * p.x, dw[1][q + 1] += d1 * p.y, dw[1][q + 2] += d1 * p.z, dw[1][q + 3] += d1 * p.w;
        }
      }
    if (i2 < count && part2 < NJ) {
      float dp[QT] = {};
      for (int j = part2; j < HID; j += NJ) {
        float d = dzs[i2 * HP + j];
#pragma unroll
        for (int q = 0; q < QT; q += 4) {
          float4 weight = *(const float4*)(ws + j * QS + qt2 * QT + q);
          dp[q] += d * weight.x, dp[q + 1] += d * weight.y, dp[q + 2] += d * weight.z, dp[q + 3] += d * weight.w;
        }
      }
#pragma unroll
      for (int q = 0; q < QT; q += 4)
        *(float4*)(red + (part2 * TN + i2) * QS + qt2 * QT + q) = make_float4(dp[q], dp[q + 1], dp[q + 2], dp[q + 3]);
    }
    __syncthreads();
    for (int e = t; e < count * QW; e += THREADS) {
      int i = e / QW, q = e % QW, place = places[((size_t)slice * batch + first + i) * QP + q];
      if (place == NOWHERE) continue;
      float g = 0.f;
      for (int k = 0; k < NJ; k++) g += red[(k * TN + i) * QS + q];
      const float* seen = xs + i * IMAGE + place / P * COLS + P * q + place % P;
#pragma unroll
      for (int k = 0; k < TAPS; k++) taps[k] += g * seen[(k / (KH * KW) * ROWS + k / KW % KH) * COLS + k % KW];
      taps[TAPS] += g;
    }
    __syncthreads();
  }

  // What Adam keeps beside the dense weights is fetched now, and needed last.
  float mw[WPT], vw[WPT];
#pragma unroll
  for (int k = 0; k < WPT; k++) {
    int e = t + k * THREADS;
    if (e < QW * HID) mw[k] = md[base + e], vw[k] = vd[base + e];
  }

  // The filters: over the threads of a warp, over the warps, and then over the filter's slices.
#pragma unroll
  for (int k = 0; k <= TAPS; k++) {
    float sum = warp_sum(taps[k]);
    if (t % 32 == 0) scratch[k * (THREADS / 32) + t / 32] = sum;
  }
  __syncthreads();
  if (t <= TAPS) {
    float sum = 0.f;
    for (int k = 0; k < THREADS / 32; k++) sum += scratch[t * (THREADS / 32) + k];
    __stcg(sums + slice * (TAPS + 1) + t, sum);
    __threadfence();
  }
  __syncthreads();
  u32* last = (u32*)scratch;
  if (t == 0) {
    last[0] = atomicAdd(arrived + slice / QH, 1u) == QH - 1;
    __threadfence();
  }
  __syncthreads();
  if (last[0]) {
    learn_filter(slice / QH, sums, rates, filters, mf, vf, biases, mb, vb);
    if (t == 0) arrived[slice / QH] = 0;
  }
  __syncthreads();

  // The dense weights.
  if (part < NG)
#pragma unroll
    for (int q = 0; q < QT; q++) {
      scratch[(part * QP + qt * QT + q) * HID + jp] = dw[0][q];
      if (jp + JP < HID) scratch[(part * QP + qt * QT + q) * HID + jp + JP] = dw[1][q];
    }
  __syncthreads();
  const Adam adam(rates + NUMBERS);
#pragma unroll
  for (int k = 0; k < WPT; k++) {
    int e = t + k * THREADS;
    if (e < QW * HID) {
      float g = 0.f;
      for (int p = 0; p < NG; p++) g += scratch[p * QP * HID + e];
      float w = ws[e % HID * QS + e / HID];
      adam.step(g, w, mw[k], vw[k]);
      dense[base + e] = w, md[base + e] = mw[k], vd[base + e] = vw[k];
    }
  }
}
