const count = document.getElementById("remaining");
const note = document.getElementById("live");
function listen() {
  const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws");
  socket.onopen = () => { note.textContent = "prompts wait or run"; };
  socket.onmessage = (event) => {
    if (typeof event.data !== "string") return;
    const message = JSON.parse(event.data);
    if (message.type === "status") count.textContent = message.data.status.exec_info.queue_remaining;
  };
  socket.onclose = () => { note.textContent = "the server does not answer"; setTimeout(listen, 2000); };
}
listen();
