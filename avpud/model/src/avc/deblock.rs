//! The loop filter (8.7), over a whole picture once all of its macroblocks are reconstructed.

use super::coder::{Planes, clip};
use super::mb::{MbInfo, MbKind, MbMap};
use super::params::PictureParams;
use super::tables::{ALPHA, BETA, TC0, chroma_qp};

/// Filters every macroblock of the picture in raster order.
pub(super) fn picture(params: &PictureParams, map: &MbMap, planes: &mut Planes<'_>) {
    for row in 0..usize::from(params.mb_height) {
        for column in 0..usize::from(params.mb_width) {
            macroblock(params, map, planes, column, row);
        }
    }
}

/// Direction of an edge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Between left and right samples.
    Vertical,
    /// Between upper and lower samples.
    Horizontal,
}

fn macroblock(
    params: &PictureParams,
    map: &MbMap,
    planes: &mut Planes<'_>,
    column: usize,
    row: usize,
) {
    let mb = map.at(column, row);
    for edge in [Edge::Vertical, Edge::Horizontal] {
        let beside = match edge {
            Edge::Vertical => map.left_of(column, row),
            Edge::Horizontal => map.above(column, row),
        };
        for index in 0..4 {
            let other = if index == 0 { beside } else { mb };
            if other.kind == MbKind::Outside || (mb.transform_8x8 && index % 2 != 0) {
                continue;
            }
            let strength = strengths(edge, index, mb, other);
            if strength == [0; 4] {
                continue;
            }
            luma_edge(
                params,
                planes,
                (column, row),
                edge,
                index,
                (mb.qp, other.qp),
                strength,
            );
            if index % 2 == 0 {
                chroma_edge(
                    params,
                    planes,
                    (column, row),
                    edge,
                    index,
                    (mb.qp, other.qp),
                    strength,
                );
            }
        }
    }
}

/// Boundary strength of the four 4-sample segments of edge `index`; `other` is the macroblock across it.
fn strengths(edge: Edge, index: usize, mb: &MbInfo, other: &MbInfo) -> [u8; 4] {
    if mb.kind.is_intra() || other.kind.is_intra() {
        return [if index == 0 { 4 } else { 3 }; 4];
    }
    if mb.kind == MbKind::Skip && index != 0 {
        return [0; 4];
    }
    std::array::from_fn(|segment| {
        // Raster numbers of the 4x4 blocks on both sides.
        let (here, there) = match edge {
            Edge::Vertical => (segment * 4 + index, segment * 4 + (index + 3) % 4),
            Edge::Horizontal => (index * 4 + segment, (index + 3) % 4 * 4 + segment),
        };
        if mb.coded >> here & 1 != 0 || other.coded >> there & 1 != 0 {
            return 2;
        }
        let quarter = |block: usize| block / 8 * 2 + block % 4 / 2;
        let (a, b) = (mb.mv[quarter(here)], other.mv[quarter(there)]);
        u8::from(a.x.abs_diff(b.x) >= 4 || a.y.abs_diff(b.y) >= 4)
    })
}

/// Thresholds of an edge between two QPs.
struct Thresholds {
    alpha: i32,
    beta: i32,
    index_a: usize,
}

impl Thresholds {
    fn new(params: &PictureParams, qp: (u8, u8)) -> Self {
        let mean = (i32::from(qp.0) + i32::from(qp.1) + 1) >> 1;
        let index = |offset: i8| (mean + i32::from(offset)).clamp(0, 51) as usize;
        let (index_a, index_b) = (
            index(params.deblock.alpha_offset),
            index(params.deblock.beta_offset),
        );
        Self {
            alpha: ALPHA[index_a].into(),
            beta: BETA[index_b].into(),
            index_a,
        }
    }

    fn tc0(&self, strength: u8) -> i32 {
        TC0[usize::from(strength - 1)][self.index_a].into()
    }
}

fn luma_edge(
    params: &PictureParams,
    planes: &mut Planes<'_>,
    (column, row): (usize, usize),
    edge: Edge,
    index: usize,
    qp: (u8, u8),
    strength: [u8; 4],
) {
    let thresholds = Thresholds::new(params, qp);
    if thresholds.alpha == 0 || thresholds.beta == 0 {
        return;
    }
    let stride = planes.stride;
    let at = row * 16 * stride + column * 16;
    match edge {
        Edge::Vertical => {
            for line in 0..16 {
                let first = at + line * stride + 4 * index - 4;
                let Some(samples) = planes.luma[first..].first_chunk_mut() else {
                    return;
                };
                match strength[line / 4] {
                    0 => {}
                    4 => luma_strong(samples, &thresholds),
                    bs => luma_line(samples, &thresholds, thresholds.tc0(bs)),
                }
            }
        }
        Edge::Horizontal => {
            let first = at + 4 * index * stride - 4 * stride;
            let mut rows = [[0; 16]; 8];
            for (y, to) in rows.iter_mut().enumerate() {
                let Some(from) = planes.luma[first + y * stride..].first_chunk() else {
                    return;
                };
                *to = *from;
            }
            if strength[0] == 4 {
                for x in 0..16 {
                    let mut samples = rows.map(|row| row[x]);
                    luma_strong(&mut samples, &thresholds);
                    for (row, sample) in rows.iter_mut().zip(samples) {
                        row[x] = sample;
                    }
                }
            } else {
                luma_rows(&mut rows, &thresholds, strength);
            }
            for (y, from) in rows.iter().enumerate().take(7).skip(1) {
                planes.luma[first + y * stride..][..16].copy_from_slice(from);
            }
        }
    }
}

/// Filters the 16 columns across a horizontal edge, rows p3 to q3, with strengths 0 to 3; one column is one lane.
fn luma_rows(rows: &mut [[u8; 16]; 8], limits: &Thresholds, strength: [u8; 4]) {
    let (alpha, beta) = (limits.alpha as i16, limits.beta as i16);
    let tc0: [i16; 16] = std::array::from_fn(|x| match strength[x / 4] {
        0 => -1,
        bs => limits.tc0(bs) as i16,
    });
    let [_, p2, p1, p0, q0, q1, q2, _] = rows.map(|row| row.map(i16::from));
    for x in 0..16 {
        let (p2, p1, p0, q0, q1, q2) = (p2[x], p1[x], p0[x], q0[x], q1[x], q2[x]);
        let tc0 = tc0[x];
        let on = (tc0 >= 0)
            & ((p0 - q0).abs() < alpha)
            & ((p1 - p0).abs() < beta)
            & ((q1 - q0).abs() < beta);
        let (near_p, near_q) = ((p2 - p0).abs() < beta, (q2 - q0).abs() < beta);
        let tc = tc0 + i16::from(near_p) + i16::from(near_q);
        let middle = (p0 + q0 + 1) >> 1;
        let outer_p = ((p2 + middle - 2 * p1) >> 1).max(-tc0).min(tc0);
        let outer_q = ((q2 + middle - 2 * q1) >> 1).max(-tc0).min(tc0);
        let delta = ((((q0 - p0) << 2) + (p1 - q1) + 4) >> 3).max(-tc).min(tc);
        let delta = if on { delta } else { 0 };
        rows[2][x] = (p1 + if on & near_p { outer_p } else { 0 }) as u8;
        rows[3][x] = (p0 + delta).clamp(0, 255) as u8;
        rows[4][x] = (q0 - delta).clamp(0, 255) as u8;
        rows[5][x] = (q1 + if on & near_q { outer_q } else { 0 }) as u8;
    }
}

/// Filters one line of luma, p3 to q3, with strength 1 to 3.
#[inline(always)]
fn luma_line(s: &mut [u8; 8], limits: &Thresholds, tc0: i32) {
    let [_, p2, p1, p0, q0, q1, q2, _] = s.map(i32::from);
    if (p0 - q0).abs() >= limits.alpha
        || (p1 - p0).abs() >= limits.beta
        || (q1 - q0).abs() >= limits.beta
    {
        return;
    }
    let mut tc = tc0;
    let middle = (p0 + q0 + 1) >> 1;
    if (p2 - p0).abs() < limits.beta {
        tc += 1;
        s[2] = (p1 + ((p2 + middle - 2 * p1) >> 1).clamp(-tc0, tc0)) as u8;
    }
    if (q2 - q0).abs() < limits.beta {
        tc += 1;
        s[5] = (q1 + ((q2 + middle - 2 * q1) >> 1).clamp(-tc0, tc0)) as u8;
    }
    let delta = ((((q0 - p0) << 2) + (p1 - q1) + 4) >> 3).clamp(-tc, tc);
    s[3] = clip(p0 + delta);
    s[4] = clip(q0 - delta);
}

/// Filters one line of luma, p3 to q3, with strength 4.
#[inline(always)]
fn luma_strong(s: &mut [u8; 8], limits: &Thresholds) {
    let [p3, p2, p1, p0, q0, q1, q2, q3] = s.map(i32::from);
    if (p0 - q0).abs() >= limits.alpha
        || (p1 - p0).abs() >= limits.beta
        || (q1 - q0).abs() >= limits.beta
    {
        return;
    }
    let close = (p0 - q0).abs() < (limits.alpha >> 2) + 2;
    if close && (p2 - p0).abs() < limits.beta {
        s[3] = ((p2 + 2 * p1 + 2 * p0 + 2 * q0 + q1 + 4) >> 3) as u8;
        s[2] = ((p2 + p1 + p0 + q0 + 2) >> 2) as u8;
        s[1] = ((2 * p3 + 3 * p2 + p1 + p0 + q0 + 4) >> 3) as u8;
    } else {
        s[3] = ((2 * p1 + p0 + q1 + 2) >> 2) as u8;
    }
    if close && (q2 - q0).abs() < limits.beta {
        s[4] = ((p1 + 2 * p0 + 2 * q0 + 2 * q1 + q2 + 4) >> 3) as u8;
        s[5] = ((p0 + q0 + q1 + q2 + 2) >> 2) as u8;
        s[6] = ((2 * q3 + 3 * q2 + q1 + q0 + p0 + 4) >> 3) as u8;
    } else {
        s[4] = ((2 * q1 + q0 + p1 + 2) >> 2) as u8;
    }
}

fn chroma_edge(
    params: &PictureParams,
    planes: &mut Planes<'_>,
    (column, row): (usize, usize),
    edge: Edge,
    index: usize,
    qp: (u8, u8),
    strength: [u8; 4],
) {
    let stride = planes.stride;
    let first = row * 8 * stride + column * 16;
    let (at, along, across) = match edge {
        Edge::Vertical => (first + 4 * index, stride, 2),
        Edge::Horizontal => (first + 2 * index * stride, 2, stride),
    };
    for plane in 0..2 {
        let offset = params.chroma_qp_offset[plane];
        let limits = Thresholds::new(params, (chroma_qp(qp.0, offset), chroma_qp(qp.1, offset)));
        if limits.alpha == 0 || limits.beta == 0 {
            continue;
        }
        for line in 0..8 {
            let bs = strength[line / 2];
            if bs != 0 {
                chroma_line(
                    planes.chroma,
                    at + plane + line * along,
                    across,
                    &limits,
                    bs,
                );
            }
        }
    }
}

fn chroma_line(plane: &mut [u8], at: usize, across: usize, limits: &Thresholds, bs: u8) {
    let s = |offset: usize| i32::from(plane[at + offset * across - 2 * across]);
    let (p1, p0, q0, q1) = (s(0), s(1), s(2), s(3));
    if (p0 - q0).abs() >= limits.alpha
        || (p1 - p0).abs() >= limits.beta
        || (q1 - q0).abs() >= limits.beta
    {
        return;
    }
    if bs == 4 {
        plane[at - across] = ((2 * p1 + p0 + q1 + 2) >> 2) as u8;
        plane[at] = ((2 * q1 + q0 + p1 + 2) >> 2) as u8;
    } else {
        let tc = limits.tc0(bs) + 1;
        let delta = ((((q0 - p0) << 2) + (p1 - q1) + 4) >> 3).clamp(-tc, tc);
        plane[at - across] = clip(p0 + delta);
        plane[at] = clip(q0 - delta);
    }
}
