"use strict";
{
  const root = document.currentScript.dataset.root;
  window.addEventListener("DOMContentLoaded", () => {
    window.ui = SwaggerUIBundle({
      url: root + "/openapi.json",
      dom_id: "#swagger-ui",
      deepLinking: true,
      displayRequestDuration: true,
      tryItOutEnabled: true,
      validatorUrl: null,
      defaultModelsExpandDepth: 0,
      presets: [SwaggerUIBundle.presets.apis],
      layout: "BaseLayout",
    });
  });
}
