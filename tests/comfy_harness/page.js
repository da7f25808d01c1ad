// Runs in ComfyUI's page before its own scripts: what the tests ask the page.
window.__harness = {runs: {}, last: null, step: null};

// A node of the graph by its id, which is a number in files and a string in prompts.
window.__harness.node = (id) => window.app.graph.getNodeById(id) ?? window.app.graph.getNodeById(Number(id));

// Keeps what becomes of each prompt, through the page's own connection.
window.__harness.follow = () => {
  const end = (status) => (event) => {
    const d = event.detail || {};
    window.__harness.runs[d.prompt_id] = {status, error: d.exception_message || null,
      node: d.node_id || null, type: d.node_type || null};
    window.__harness.last = d.prompt_id;
  };
  const api = window.app.api;
  api.addEventListener('execution_success', end('success'));
  api.addEventListener('execution_error', end('error'));
  api.addEventListener('execution_interrupted', end('interrupted'));
  api.addEventListener('progress', ({detail: {node, value, max}}) => {
    window.__harness.step = {type: window.__harness.node(node)?.type, value, max};
  });
};

// Where a point of the canvas is on the screen.
const onScreen = ([x, y]) => {
  const {scale, offset} = window.app.canvas.ds;
  const {left, top} = window.app.canvas.canvas.getBoundingClientRect();
  return [left + (x + offset[0]) * scale, top + (y + offset[1]) * scale];
};

// Where to click on a node's title, once the node is in the middle of the screen.
window.__harness.title = async (id) => {
  const node = window.__harness.node(id);
  window.app.canvas.ds.scale = 0.75;
  window.app.canvas.centerOnNode(node);
  window.app.canvas.setDirty(true, true);
  await new Promise((done) => setTimeout(done, 500));
  return onScreen([node.pos[0] + 60, node.pos[1] - 15]);
};

// Where to click on a button that is drawn on the canvas.
window.__harness.button = ([id, label]) => {
  const node = window.__harness.node(id);
  const button = node.widgets.find((w) => w.type === 'button' && w.name === label);
  return onScreen([node.pos[0] + node.size[0] / 2, node.pos[1] + (button.last_y ?? button.y) + 10]);
};

// Everything that can be seen to be wrong with the loaded graph; `source` is the file's JSON.
window.__harness.inspect = (source) => {
  const known = (window.LiteGraph || {}).registered_node_types || {};
  const virtual = new Set(['Note', 'MarkdownNote', 'Reroute', 'PrimitiveNode']);
  const out = {nodes: 0, missing_nodes: [], widget_problems: [], lost_links: 0, alerts: [], notes: []};
  const walk = (graph, where) => {
    for (const node of graph.nodes || graph._nodes || []) {
      out.nodes++;
      const label = `${where}${node.id} (${node.type})`;
      if (node.subgraph) { walk(node.subgraph, `${where}${node.id}:`); continue; }
      if (!(node.type in known)) {
        if (!virtual.has(node.type)) out.missing_nodes.push(label);
        continue;
      }
      for (const w of node.widgets || []) {
        if (w.value === undefined && w.serialize !== false && w.options?.serialize !== false && w.type !== 'button')
          out.widget_problems.push(`${label}: ${w.name} has no value`);
        if (typeof w.value === 'number') {
          if (Number.isNaN(w.value)) out.widget_problems.push(`${label}: ${w.name} is NaN`);
          const {min, max} = w.options || {};
          if (min !== undefined && w.value < min)
            out.widget_problems.push(`${label}: ${w.name} = ${w.value} is below ${min}`);
          if (max !== undefined && w.value > max)
            out.widget_problems.push(`${label}: ${w.name} = ${w.value} is above ${max}`);
        }
        if (w.type === 'combo' && w.options) {
          let values = w.options.values;
          if (typeof values === 'function') values = values(w, node);
          if (Array.isArray(values) && w.value != null && !values.includes(w.value))
            out.widget_problems.push(`${label}: ${w.name} = ${JSON.stringify(w.value)} is not one of its options`);
        }
      }
    }
  };
  walk(window.app.graph, '');
  // What the file says, against what the graph holds (top level).
  const byId = new Map((window.app.graph.nodes || window.app.graph._nodes).map((n) => [String(n.id), n]));
  for (const saved of source.nodes || []) {
    const node = byId.get(String(saved.id));
    if (!node) { out.widget_problems.push(`${saved.id} (${saved.type}): not in the graph after loading`); continue; }
    if (!(node.type in known)) continue;
    const names = new Set((node.widgets || []).map((w) => w.name));
    for (const input of saved.inputs || []) {
      if (input.widget && !names.has(input.widget.name))
        out.widget_problems.push(`${saved.id} (${saved.type}): saved widget ${input.widget.name} no longer exists`);
      if (!(node.inputs || []).some((i) => i.name === input.name))
        out.widget_problems.push(`${saved.id} (${saved.type}): saved input ${input.name} no longer exists`);
    }
    const before = Array.isArray(saved.widgets_values) ? saved.widgets_values.length : null;
    const after = node.serialize().widgets_values;
    if (before !== null && Array.isArray(after) && after.length !== before)
      out.notes.push(`${saved.id} (${saved.type}): ${before} saved widget values, ${after.length} widgets now`);
  }
  const count = (links) => links instanceof Map ? links.size : Object.keys(links || {}).length;
  out.lost_links = (source.links || []).length - count(window.app.graph.links);
  for (const toast of document.querySelectorAll('.p-toast-message, [data-pc-name="toastmessage"]'))
    out.alerts.push(toast.innerText.trim().slice(0, 300));
  return out;
};

// What each node shows: how many pictures and videos, and its text.
window.__harness.shown = () => {
  const out = {};
  for (const node of window.app.graph.nodes || window.app.graph._nodes) {
    const one = {type: node.type, images: (node.imgs || []).length, videos: 0, text: null};
    if (node.videoContainer) one.videos = node.videoContainer.querySelectorAll('video').length;
    const shell = document.querySelector(`[data-node-id="${node.id}"]`);
    if (shell) {
      one.videos = Math.max(one.videos, shell.querySelectorAll('video').length);
      one.images = Math.max(one.images, shell.querySelectorAll('img').length);
    }
    const output = (window.app.nodeOutputs || {})[node.id];
    if (output?.text) one.text = output.text;
    if (one.images || one.videos || one.text) out[node.id] = one;
  }
  return out;
};
